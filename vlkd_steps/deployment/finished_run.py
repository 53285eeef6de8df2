"""A finished run as a model that answers one item at a time, for `vlkd ask` and `vlkd demo`.

It computes on the CPU in float32, with the weights whose checksum the run recorded. Answers equal the run's
predictions if those were computed in the same way; otherwise the last bits differ.
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
from vlkd_steps.config.models.method import Method, declaration
from vlkd_steps.core import artifacts, checksums, files, hardware, image_file, layout, tables
from vlkd_steps.core.errors import UserError
from vlkd_steps.data.batches import Encoded
from vlkd_steps.data.decoding import decode_one
from vlkd_steps.data.items import from_frame
from vlkd_steps.methods import objective
from vlkd_steps.runs import classify, predict, run_dir
from vlkd_steps.students import bart, generation, heads, inference
from vlkd_steps.students.prompts import CAPTION, QUESTION, Prompt
from vlkd_steps.verification import recorded_run

MOST_TOKENS = {True: 40, False: 20}
"""Tokens of a caption (True) and of an answer, as in evaluation (`runs.vlkd`)."""


@dataclass(frozen=True)
class Query:
    """One item.

    Attributes:
        image: its file.
        text: the question or hypothesis; empty for a caption.
        choices: those of VCR, or the answers that a generating student may choose from; empty: none.
        answer: for VCR, the answer whose rationale is wanted; empty: the answer itself is wanted.
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
    """A trained student with the configuration of its run.

    Attributes:
        folder: from the project's root; described: its config.yaml.
        student: in evaluation mode.
        own_images: whether it takes any image file; otherwise only images of the data set, whose features are stored.
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

    def answers(self, query: Query, best: int = 5) -> list[Answer]:
        """The best answers, the most probable first.

        Raises:
            UserError: the image cannot be read, the question is empty, a text is not UTF-8, or the number of choices is
                wrong.
        """
        self._check(query)
        choices = tuple(map(_spaced, query.choices))
        return self._answers(Query(query.image, _spaced(query.text), choices, _spaced(query.answer)))[:best]

    def _check(self, query: Query) -> None:
        for text in (str(query.image), query.text, query.answer, *query.choices):
            if not files.is_utf8(text):
                raise UserError(f"{text!r} is not UTF-8; give texts and the image's path in UTF-8")
        if not query.image.is_file():
            why = "is no file" if query.image.exists() else "does not exist"
            why = "is a folder" if query.image.is_dir() else why
            raise UserError(f"the image {query.image} {why}; name an image file")
        image_file.read(query.image)
        if any(not choice.strip() for choice in query.choices):
            raise UserError("one of the choices is empty; give a text for each")
        if query.answer and self.task.head != "choices":
            raise UserError(f"{self.folder} is a run on {self.task_name}, which gives no rationale; leave --answer out")
        if not query.text.strip() and (query.text or self.task.head != "written"):
            raise UserError(f"the question is empty; {self.folder} is a run on {self.task_name} and needs one")

    def _answers(self, query: Query) -> list[Answer]:
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

    def _check(self, query: Query) -> None:
        super()._check(query)
        which = f"{self.folder} is a run on {self.task_name}"
        if self.task.head != "choices" and query.choices:
            raise UserError(f"{which}, whose answers are its own classes; leave --choices out")
        wanted = len(self.student.labels)
        if self.task.head == "choices" and len(query.choices) != wanted:
            raise UserError(
                f"{which}, which takes {wanted} choices, not {len(query.choices)}: --choices and {wanted} texts"
            )

    def _answers(self, query: Query) -> list[Answer]:
        data = self._encoded(query)
        (_, logits), *_ = predict.logits(self.student, data, [torch.zeros(1, dtype=torch.int64)], self.accelerator)
        order = heads.scores(logits)[0].argsort(descending=True, stable=True).tolist()
        probable = heads.probabilities(logits)[0].tolist()
        texts = query.choices or self.student.labels
        return [Answer(texts[index], probable[index]) for index in order]

    def _encoded(self, query: Query) -> Encoded:
        """The item as the student reads it in evaluation."""
        student = self.student
        if self.own_images:
            items = from_frame(row(query, str(query.image)), student.labels)
            sight = Pixels(query.image, student.image_size)
            return Encoded(items, student.tokenizer, student.max_tokens, student.image_size, sight=sight)
        data = data_set(self.folder, self.described, student, self.accelerator.device)
        return data.encode(from_frame(row(query, self._image_id(query.image)), student.labels), student)

    def _image_id(self, image: Path) -> str:
        """The id of an image of the run's data set, whose features are stored.

        Raises:
            UserError: it is another image.
        """
        table = tables.read(artifacts.instances(self.dataset), columns=["image_id", "image_path"])
        found = table.filter(pl.col("image_path") == os.path.relpath(image))
        if found.is_empty():
            what = "its teacher's features" if self.keeps_teacher else f"the regions of {self.student.regions}"
            raise UserError(
                f"{self.folder}: its student reads {what}, which were extracted only for the images of "
                f"{self.dataset}, and {image} is none of them; name one, such as {table['image_path'][0]}"
            )
        return str(found["image_id"][0])


def _spaced(text: str) -> str:
    """A text with single spaces, as the texts of data sets are: a byte-level tokenizer reads others differently."""
    return " ".join(text.split())


class Pixels:
    """One image file, decoded as in evaluation, instead of a data set's images (`Encoded`)."""

    from_files = False

    def __init__(self, path: Path, size: int) -> None:
        self.image = torch.from_numpy(np.array(decode_one(path, size))).permute(2, 0, 1)[None]

    def batch(self, rows: torch.Tensor) -> dict[str, Any]:
        return {"images": self.image.expand(len(rows), -1, -1, -1)}


def row(query: Query, image_id: str) -> pl.DataFrame:
    """The item as a row of instances without labels."""
    extra: dict[str, list[str]] = {"question": query.text.split(), "answer": query.answer.split(), "objects": []}
    values = {
        "instance_id": "query",
        "image_id": image_id,
        "image_path": str(query.image),
        "text": query.text,
        "choices": list(query.choices),
        "label": None,
        "soft_labels": [],
        "answer_type": "rationale" if query.answer else "answer",
        "extra": json.dumps(extra),
    }
    scores = pl.List(pl.Struct({"label": pl.Int64, "score": pl.Float64}))
    types = {"label": pl.Int64(), "soft_labels": scores, "choices": pl.List(pl.String)}
    return pl.DataFrame([values], schema_overrides=types)


class Writing(FinishedRun):
    """A BART, which generates an answer or, without a question, a caption; for `choices` it computes probabilities.

    One that was trained on captions answers questions as well.
    """

    def __init__(self, folder: Path, described: dict[str, Any]) -> None:
        super().__init__(folder, described)
        self.student = bart.load(self.weights)
        learned = objective.create(described["method"], 1).learns
        self.eyes = inference.VisualBart(self.student) if learned else None  # plain BART sees no image

    def _answers(self, query: Query) -> list[Answer]:
        captions = not query.text
        v = self.eyes.see([query.image]) if self.eyes else None
        prompt, question = Prompt.of(CAPTION if captions else QUESTION), [query.text]
        texts: Sequence[str] = query.choices
        if not texts:
            texts = generation.write(self.student, v, prompt, question, most_tokens=MOST_TOKENS[captions])
        probable = generation.probabilities(self.student, v, prompt, query.text, texts)
        found = [Answer(text, value) for text, value in zip(texts, probable, strict=True)]
        return sorted(found, key=lambda answer: -answer.probability)


RUNNERS = {"classify": Classifying, "vlkd": Writing}


def load(folder: Path) -> FinishedRun:
    """Load the model of a finished run.

    Args:
        folder: that of one seed, from the project's root.

    Raises:
        UserError: there is no such run, or it is unfinished, damaged or trains nothing.
    """
    config, method = described(folder)
    return RUNNERS[method.runner](folder, config)


def described(folder: Path) -> tuple[dict[str, Any], Method]:
    """The configuration and the method of a finished run whose weights are those that it recorded.

    Raises:
        UserError: there is no such run, or it is unfinished, damaged or trains nothing.
    """
    config = dict(recorded_run.read(folder).described)
    method = declaration(config["method"]["name"])
    if not method.trains:
        raise UserError(
            f"{folder} is a run of {config['method']['name']}, which trains no student; name a run of another variant"
        )
    checksums.verified(folder / "model.safetensors", layout.run_checksums(folder, "distill"), _AGAIN)
    return config, method


def data_set(folder: Path, described: dict[str, Any], student: Any, device: torch.device) -> classify.DataSet:
    """The run's data set as its classifying student reads it, with the features that the run was trained with.

    Raises:
        UserError: those that are there were made by another model, or are missing.
    """
    name = described["dataset"]["name"]
    if declaration(described["method"]["name"]).keeps_teacher:
        _check_features(folder, described, "features", described["teacher"]["name"])
    elif getattr(student, "sees", "pixels") == "regions":
        _check_features(folder, described, "regions", student.regions)
    return classify.DataSet(name, device, classify.plugged(described))


def _check_features(folder: Path, described: dict[str, Any], kind: str, extractor: str) -> None:
    dataset = described["dataset"]["name"]
    if run_dir.features([extractor], dataset)["key"] != described["made_of"][kind]["key"]:
        raise UserError(
            f"{layout.features_manifest(extractor, dataset)}: these features are others than those that {folder} was "
            "trained with, of another model, configuration or code; train the run again (snakemake --cores all), or "
            "restore the features (dvc checkout)"
        )


_AGAIN = "make it again (snakemake --cores all), or restore it (dvc checkout)"
