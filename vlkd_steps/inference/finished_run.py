"""A finished run as a model that answers one item: what `vlkd ask` and `vlkd demo` share.

It computes on the CPU in float32, with the weights whose checksum the run recorded. An answer is that of the run's
predictions where those were computed so too; elsewhere the last bits differ.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from vlkd_steps import tasks
from vlkd_steps.config.models.method import declaration
from vlkd_steps.core import artifacts, checksums, hardware, image_file, layout, tables
from vlkd_steps.core.errors import UserError
from vlkd_steps.data.batches import Encoded, decode_one, from_frame
from vlkd_steps.methods import objective
from vlkd_steps.runs import classify, predict
from vlkd_steps.students import bart, generation, heads, inference
from vlkd_steps.students.prompts import CAPTION, QUESTION, Prompt
from vlkd_steps.verification import recorded_run

MOST_TOKENS = {True: 40, False: 20}
"""Of a caption, of an answer, as in evaluation (`runs.vlkd`)."""


@dataclass(frozen=True)
class Asked:
    """One item.

    Attributes:
        image: its file.
        text: the question or hypothesis; empty where a caption is wanted.
        choices: those of VCR, or the answers that a writing student may choose from; empty: none.
        answer: of VCR, the answer whose rationale is asked; empty: the answer itself is.
    """

    image: Path
    text: str = ""
    choices: tuple[str, ...] = ()
    answer: str = ""


@dataclass(frozen=True)
class Answer:
    text: str
    probability: float


class FinishedRun:
    """A trained student with what its run recorded.

    Attributes:
        folder: from the project's root; described: its config.yaml.
        student: in evaluation mode.
        own_images: whether any image file will do; else those of the data set alone, whose features are stored.
    """

    student: Any
    own_images = True

    def __init__(self, folder: Path, described: dict[str, Any]) -> None:
        self.folder, self.described = folder, described
        self.dataset: str = described["dataset"]["name"]
        self.task_name: str = described["dataset"]["task"]
        self.task = tasks.load(self.task_name)

    @property
    def weights(self) -> Path:
        return self.folder / "model.safetensors"

    def answers(self, asked: Asked, best: int = 5) -> list[Answer]:
        """The best answers, the most probable first.

        Raises:
            UserError: an image that cannot be read, an empty question, choices that are missing or too many.
        """
        self._check(asked)
        return self._answers(asked)[:best]

    def _check(self, asked: Asked) -> None:
        if not asked.image.is_file():
            raise UserError(f"the image {asked.image} does not exist; name an image file")
        image_file.read(asked.image)
        if any(not choice.strip() for choice in asked.choices):
            raise UserError("one of the choices is empty; give a text for each")
        if asked.answer and self.task.head != "choices":
            raise UserError(f"{self.folder} is a run on {self.task_name}, which gives no rationale; leave --answer out")
        if not asked.text.strip() and (asked.text or self.task.head != "written"):
            raise UserError(f"the question is empty; {self.folder} is a run on {self.task_name} and needs one")

    def _answers(self, asked: Asked) -> list[Answer]:
        raise NotImplementedError


class Classifying(FinishedRun):
    """A student that scores classes or choices."""

    def __init__(self, folder: Path, described: dict[str, Any]) -> None:
        super().__init__(folder, described)
        threads = described["training"].get("threads", 1)
        self.accelerator = hardware.accelerator({"device": "cpu", "precision": "fp32", "threads": threads})
        self.student = classify.architecture(described).load(self.weights)
        self.keeps_teacher = declaration(described["method"]["name"]).keeps_teacher
        self.own_images = not self.keeps_teacher and getattr(self.student, "sees", "pixels") == "pixels"

    def _check(self, asked: Asked) -> None:
        super()._check(asked)
        which = f"{self.folder} is a run on {self.task_name}"
        if self.task.head != "choices" and asked.choices:
            raise UserError(f"{which}, whose answers are its own classes; leave --choices out")
        wanted = len(self.student.labels)
        if self.task.head == "choices" and len(asked.choices) != wanted:
            raise UserError(
                f"{which}, which takes {wanted} choices, not {len(asked.choices)}: --choices and {wanted} texts"
            )

    def _answers(self, asked: Asked) -> list[Answer]:
        data = self._encoded(asked)
        (_, logits), *_ = predict.logits(self.student, data, [torch.zeros(1, dtype=torch.int64)], self.accelerator)
        order = heads.scores(logits)[0].argsort(descending=True, stable=True).tolist()
        probable = heads.probabilities(logits)[0].tolist()
        texts = asked.choices or self.student.labels
        return [Answer(texts[index], probable[index]) for index in order]

    def _encoded(self, asked: Asked) -> Encoded:
        """The item as the student reads it in evaluation."""
        student = self.student
        if self.own_images:
            items = from_frame(row(asked, str(asked.image)), student.labels)
            sight = Pixels(asked.image, student.image_size)
            return Encoded(items, student.tokenizer, student.max_tokens, student.image_size, sight=sight)
        data = classify.DataSet(self.dataset, self.accelerator.device, classify.plugged(self.described))
        return data.encode(from_frame(row(asked, self._image_id(asked.image)), student.labels), student)

    def _image_id(self, image: Path) -> str:
        """The id of an image of the run's data set, whose features are stored.

        Raises:
            UserError: another image.
        """
        table = tables.read(artifacts.instances(self.dataset), columns=["image_id", "image_path"])
        found = table.filter(pl.col("image_path") == os.path.relpath(image))
        if found.is_empty():
            what = "its teacher's features" if self.keeps_teacher else f"the regions of {self.student.regions}"
            raise UserError(
                f"{self.folder}: its student sees an image by {what}, which were extracted of the images of "
                f"{self.dataset} alone, and {image} is none of them; name one, such as {table['image_path'][0]}"
            )
        return str(found["image_id"][0])


class Pixels:
    """One image file, decoded as in evaluation, in the place of a data set's images (`Encoded`)."""

    from_files = False

    def __init__(self, path: Path, size: int) -> None:
        self.image = torch.from_numpy(np.array(decode_one(path, size))).permute(2, 0, 1)[None]

    def batch(self, rows: torch.Tensor) -> dict[str, Any]:
        return {"images": self.image.expand(len(rows), -1, -1, -1)}


def row(asked: Asked, image_id: str) -> pl.DataFrame:
    """The item as a row of instances without labels."""
    extra: dict[str, list[str]] = {"question": asked.text.split(), "answer": asked.answer.split(), "objects": []}
    values = {
        "instance_id": "asked",
        "image_id": image_id,
        "image_path": str(asked.image),
        "text": asked.text,
        "choices": list(asked.choices),
        "label": None,
        "soft_labels": [],
        "answer_type": "rationale" if asked.answer else "answer",
        "extra": json.dumps(extra),
    }
    scores = pl.List(pl.Struct({"label": pl.Int64, "score": pl.Float64}))
    types = {"label": pl.Int64(), "soft_labels": scores, "choices": pl.List(pl.String)}
    return pl.DataFrame([values], schema_overrides=types)


class Writing(FinishedRun):
    """A BART, which writes its answer or, without a question, a caption; of `choices` it gives each one's probability.

    One that was trained on captions answers questions as well.
    """

    def __init__(self, folder: Path, described: dict[str, Any]) -> None:
        super().__init__(folder, described)
        self.student = bart.load(self.weights)
        learned = objective.create(described["method"], 1).learns
        self.eyes = inference.VisualBart(self.student) if learned else None  # plain BART sees no image

    def _answers(self, asked: Asked) -> list[Answer]:
        captions = not asked.text
        v = self.eyes.see([asked.image]) if self.eyes else None
        prompt, question = Prompt.of(CAPTION if captions else QUESTION), [asked.text]
        texts: Sequence[str] = asked.choices
        if not texts:
            texts = generation.write(self.student, v, prompt, question, most_tokens=MOST_TOKENS[captions])
        probable = generation.probabilities(self.student, v, prompt, asked.text, texts)
        found = [Answer(text, value) for text, value in zip(texts, probable, strict=True)]
        return sorted(found, key=lambda answer: -answer.probability)


RUNNERS = {"classify": Classifying, "vlkd": Writing}


def load(folder: Path) -> FinishedRun:
    """The model of a finished run.

    Args:
        folder: of one seed, from the project's root.

    Raises:
        UserError: no run, an unfinished or damaged one, or one that trained nothing.
    """
    run = recorded_run.read(folder)
    described = dict(run.described)
    checksums.verified(folder / "model.safetensors", layout.run_checksums(folder, "distill"), _AGAIN)
    runner = declaration(described["method"]["name"]).runner
    if runner not in RUNNERS:
        raise UserError(f"{folder} is a baseline, which trains no student; name a run of another variant")
    return RUNNERS[runner](folder, described)


_AGAIN = "make it again (snakemake --cores all), or bring it back (dvc checkout)"
