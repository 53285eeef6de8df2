"""The answers of a run to every evaluation set's items, and the measures of the run as a whole.

The runner supplies the model (`Answerer`); this module handles evaluations, output files and resuming. A single process
answers.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import polars as pl

from vlkd_steps import tasks
from vlkd_steps.config import extra_evals
from vlkd_steps.config.extra_evals import Evaluation
from vlkd_steps.core import artifacts, files, tables
from vlkd_steps.core.interruption import StopRequest
from vlkd_steps.runs import cut_short
from vlkd_steps.runs.run_dir import RunDir

ROWS = 8192
"""Rows that are answered between two looks for a stop signal; VQA v2 has 214,354 to evaluate on."""
COLUMNS = ["instance_id", "image_id", "image_path", "text", "group"]


class Answerer(Protocol):
    """A model that answers."""

    def answers(self, rows: pl.DataFrame, evaluation: Evaluation) -> list[str]:
        """An answer, or a caption, for each row (``instance_id, image_id, image_path, text, group``)."""

    def measure(self, measure: Mapping[str, Any], seed: int) -> dict[str, Any]:
        """A measure's numbers; `{}` if it does not apply to this model."""


def answer_all(run: RunDir, answerer: Answerer, stop: StopRequest) -> None:
    """Answer every set, and compute every measure, that is still missing.

    Raises:
        Interrupted: stopped by a signal; all answers so far are kept.
    """
    dataset = run.config["dataset"]
    lacking = run.unpredicted()
    for evaluation in extra_evals.sets(dataset):
        if evaluation.name in lacking:
            stop.raise_if_set()
            write(answerer, evaluation, run, stop)
    for name, measure in extra_evals.measures(dataset).items():
        if name in lacking:
            stop.raise_if_set()
            files.write_json(run.predictions(name), answerer.measure(measure, run.config["seed"]))
            run.finish(run.predictions(name))


def write(answerer: Answerer, evaluation: Evaluation, run: RunDir, stop: StopRequest) -> None:
    """Write the answers: ``instance_id, prediction (null), answer, probability (null)`` in the set's order.

    Every caption of an image is an item; all of them get the same generated caption.

    Raises:
        Interrupted: stopped by a signal; the answers so far are kept.
    """
    rows = rows_of(evaluation)
    of_images = tasks.load(evaluation.task).head == "written"
    shown = rows.unique("image_id", keep="first", maintain_order=True) if of_images else rows
    path = run.predictions(evaluation.name)
    answers = _answers(answerer, shown, evaluation, path, stop)
    if of_images:
        said = dict(zip(shown["image_id"], answers, strict=True))
        answers = [said[image] for image in rows["image_id"]]
    frame = pl.DataFrame(
        {
            "instance_id": rows["instance_id"],
            "prediction": pl.Series([None] * len(rows), dtype=pl.Int64),
            "answer": pl.Series(answers, dtype=pl.String),
            "probability": pl.Series([None] * len(rows), dtype=pl.Float64),
        }
    )
    with files.atomic(path) as temporary:
        frame.write_parquet(temporary)
    run.finish(path)
    cut_short.remove(path)


def _answers(
    answerer: Answerer, shown: pl.DataFrame, evaluation: Evaluation, path: Path, stop: StopRequest
) -> list[str]:
    """The answers to all rows, `ROWS` at a time, continuing where a signal stopped an earlier attempt."""
    before = cut_short.read(path)
    found: list[str] = [] if before is None else before["answer"].to_list()
    while len(found) < len(shown):
        if found and stop:
            cut_short.write(path, pl.DataFrame({"answer": found}))
            stop.raise_if_set()
        found += answerer.answers(shown[len(found) :][:ROWS], evaluation)
    return found


def rows_of(evaluation: Evaluation) -> pl.DataFrame:
    """The set's rows, in its order."""
    table = tables.read(artifacts.instances(evaluation.dataset), columns=COLUMNS)
    return evaluation.ids().join(table, on="instance_id", how="left", maintain_order="left")
