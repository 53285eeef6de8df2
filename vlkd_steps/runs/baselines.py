"""Runs that train nothing (`methods.baseline`), evaluated like a VLKD run, for the same results table.

Their ``model.safetensors`` has no tensors.
"""

import contextlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from accelerate import Accelerator
from safetensors.torch import save_file

from vlkd_steps import tasks
from vlkd_steps.config.extra_evals import Evaluation
from vlkd_steps.core import artifacts, distributed, files, layout, tables
from vlkd_steps.core.arrays import unit
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.interruption import Interrupted, StopRequest
from vlkd_steps.methods import objective
from vlkd_steps.runs import answering, measures
from vlkd_steps.runs.run_dir import RunDir
from vlkd_steps.runs.seeds import RunSeed
from vlkd_steps.runs.vlkd import Eyes
from vlkd_steps.teachers.models import clip
from vlkd_steps.teachers.models.zero_shot_vqa import PROMPTS

BATCH = 256  # texts
COSINES = 1 << 28  # computed at a time: COCO's 5,000 test images and 566,747 training captions have 11 GB of them


def prepare(config: Mapping[str, Any], accelerator: Accelerator) -> RunSeed:
    """The function that writes the answers of one seed of a job (`seeds.train_seeds`)."""
    objective.checked(config["method"], 1)
    model = answerer(config, str(accelerator.device))
    return lambda run, stop, _: answer(run, model, stop)


def answer(run: RunDir, model: "Nearest | Commonest", stop: StopRequest) -> None:
    """Answer what is missing, and write a model without tensors."""
    model.config = run.config  # of this seed: captions are taken from its training split
    if distributed.is_main():
        if not run.trained():
            with files.atomic(run.model) as temporary:
                save_file({}, temporary, metadata={"baseline": run.config["method"]["by"]})
            run.describe(student_parameters=0, train_items=0)
        with contextlib.suppress(Interrupted):
            answering.answer_all(run, model, stop)
    if distributed.agree(stop):
        stop.raise_if_set()


def answerer(config: Mapping[str, Any], device: str) -> "Nearest | Commonest":
    """The baseline of a configuration.

    Raises:
        UserError: the baseline is CLIP, but the variant names none.
    """
    if config["method"]["by"] == "commonest":
        return Commonest(config)
    if config.get("teacher") is None:
        raise UserError(f"variant {config['variant']}: method baseline, by: clip, needs a CLIP; name it as the teacher")
    return Nearest(config, clip.ClipTeacher(config["teacher"], device))


class Nearest:
    """CLIP alone."""

    def __init__(self, config: Mapping[str, Any], teacher: clip.ClipTeacher) -> None:
        self.config = config
        self._of_type: dict[str, dict[str, list[str]]] = {}
        self.teacher, self.eyes = teacher, Eyes(teacher)
        self.known: dict[str, tuple[list[str], np.ndarray]] = {}

    def answers(self, rows: pl.DataFrame, evaluation: Evaluation) -> list[str]:
        written = tasks.load(evaluation.task).head == "written"
        texts, embeddings = self._captions() if written else self._list(evaluation.dataset)
        of_type: dict[str, np.ndarray] = {}
        if not written and self.config["method"]["given"] == "question_type":
            of_type = {group: np.isin(texts, answers) for group, answers in self._answers_of_type(evaluation).items()}
        v, groups, found = self.eyes(rows["image_path"].to_list()).numpy(), rows["group"].to_list(), []
        size = max(1, COSINES // len(texts))
        for start in range(0, len(v), size):
            near = v[start : start + size] @ embeddings.T
            for row, group in enumerate(groups[start : start + size]):
                if group in of_type and of_type[group].any():  # a rare type may have no answer there
                    near[row, ~of_type[group]] = -2
            found += [texts[index] for index in near.argmax(1)]
        return found

    def measure(self, measure: Mapping[str, Any], seed: int) -> dict[str, Any]:
        if measure["measure"] != "retrieval":
            return {}
        return measures.recalls(measure, self._embedded, lambda paths: self.eyes(paths).numpy())

    def _answers_of_type(self, evaluation: Evaluation) -> dict[str, list[str]]:
        """`by_type`, read once for each evaluation set."""
        if evaluation.name not in self._of_type:
            self._of_type[evaluation.name] = by_type(evaluation)
        return self._of_type[evaluation.name]

    def _list(self, dataset: str) -> tuple[list[str], np.ndarray]:
        """The answers of a data set's list, each as the mean of its prompts."""
        if dataset not in self.known:
            texts = artifacts.labels(dataset)
            prompts = [self._embedded([prompt.format(text) for text in texts]) for prompt in PROMPTS]
            self.known[dataset] = texts, unit(np.mean(prompts, axis=0))
        return self.known[dataset]

    def _captions(self) -> tuple[list[str], np.ndarray]:
        """The corpus's distinct captions."""
        texts = sorted(set(captions(self.config)))
        if self.known.get("", ([],))[0] != texts:
            self.known[""] = texts, self._embedded(texts)
        return self.known[""]

    def _embedded(self, texts: Sequence[str]) -> np.ndarray:
        starts = range(0, len(texts), BATCH)
        return unit(np.concatenate([self.teacher.text_vectors(texts[start : start + BATCH]) for start in starts]))


class Commonest:
    """The most common answer or caption; among equally common ones, the alphabetically first."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.config = config
        self._known: dict[object, tuple[str, dict[str, str]]] = {}

    def answers(self, rows: pl.DataFrame, evaluation: Evaluation) -> list[str]:
        written = tasks.load(evaluation.task).head == "written"
        key = ("captions", self.config["seed"]) if written else evaluation.name
        if key not in self._known:
            self._known[key] = (commonest(captions(self.config)), {}) if written else self._common(evaluation)
        everywhere, best = self._known[key]
        return [best.get(group, everywhere) for group in rows["group"]]

    def _common(self, evaluation: Evaluation) -> tuple[str, dict[str, str]]:
        """The most common answer of all training questions, and, where the type is given, that of each type."""
        of_type = by_type(evaluation)
        everywhere = commonest([answer for answers in of_type.values() for answer in answers])
        if self.config["method"]["given"] == "nothing":
            return everywhere, {}
        return everywhere, {group: commonest(answers) for group, answers in of_type.items()}

    def measure(self, measure: Mapping[str, Any], seed: int) -> dict[str, Any]:
        return {}


def by_type(evaluation: Evaluation) -> dict[str, list[str]]:
    """The answers of the training questions of the set's data set, by official type.

    Raises:
        UserError: it has none.
    """
    of_train = pl.col("split") == evaluation.how.get("train", "train")
    table = pl.scan_parquet(artifacts.instances(evaluation.dataset)).filter(of_train).collect()
    table = table.join(
        evaluation.ids(), on="instance_id", how="anti"
    )  # roles may share a split: exclude the evaluated items
    found: dict[str, list[str]] = {}
    task = tasks.load(evaluation.task)
    for row in table.iter_rows(named=True):
        found.setdefault(row["group"], []).append(task.gold(row))
    if not found:
        raise UserError(
            f"data set {evaluation.dataset} has no training questions (role `train`), whose answers this baseline "
            "gives; leave it out of the variant's grid, or the set out of `extra_evals`"
        )
    return found


def captions(config: Mapping[str, Any]) -> list[str]:
    """The captions of the corpus that the job names.

    Raises:
        UserError: a corpus in shards, or a data set of another task.
    """
    dataset = config["dataset"]
    if tasks.load(dataset["task"]).head != "written" or dataset.get("shards") or dataset.get("tsv"):
        raise UserError(
            f"variant {config['variant']}: a caption is taken from a prepared caption corpus, and {dataset['name']} is "
            "none; run this variant on another data set (grids of the preset)"
        )
    split = layout.train_split(dataset["name"], config["shot"], config["seed"])
    ids = pl.DataFrame({"instance_id": artifacts.split_ids(split)})
    table = tables.read(artifacts.instances(dataset["name"]), columns=["instance_id", "text"])
    return ids.join(table, on="instance_id", how="left", maintain_order="left")["text"].to_list()


def commonest(texts: Sequence[str]) -> str:
    counts = Counter(texts)
    return min(counts, key=lambda text: (-counts[text], text))
