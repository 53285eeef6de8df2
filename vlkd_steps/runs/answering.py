"""A run's answers to what it is asked: every evaluation set's items, and the measures of the run as a whole.

Who answers is the runner's affair (`Answerer`); what is asked, where the answers go and when they are there already is
the same for all. One process alone answers.
"""

from collections.abc import Mapping
from typing import Any, Protocol

import polars as pl

from vlkd_steps import tasks
from vlkd_steps.config import extra_evals
from vlkd_steps.config.extra_evals import Ask
from vlkd_steps.core import files, layout
from vlkd_steps.core.interruption import StopRequest
from vlkd_steps.runs.run_dir import Workplace

COLUMNS = ["instance_id", "image_id", "image_path", "text", "group"]


class Answerer(Protocol):
    """Who answers."""

    def answers(self, rows: pl.DataFrame, ask: Ask) -> list[str]:
        """An answer, or a caption, for each row (``instance_id, image_id, image_path, text, group``)."""

    def measure(self, ask: Mapping[str, Any], seed: int) -> dict[str, Any]:
        """A measure's numbers; `{}` where it means nothing for this one."""


def answer_all(place: Workplace, answerer: Answerer, stop: StopRequest) -> None:
    """Answer every set, and take every measure, that is still lacking.

    Raises:
        Interrupted: told to stop; what was answered is kept.
    """
    dataset = place.config["dataset"]
    lacking = place.unpredicted()
    for ask in extra_evals.sets(dataset):
        if ask.name in lacking:
            stop.raise_if_set()
            write(answerer, ask, place)
    for name, measure in extra_evals.measures(dataset).items():
        if name in lacking:
            stop.raise_if_set()
            files.write_json(place.predictions(name), answerer.measure(measure, place.config["seed"]))


def write(answerer: Answerer, ask: Ask, place: Workplace) -> None:
    """Write the answers: ``instance_id, prediction (null), answer, probability (null)`` in the set's order.

    Every caption of an image is an item; they all get the image's one caption.
    """
    rows = rows_of(ask)
    of_images = tasks.load(ask.task).head == "written"
    shown = rows.unique("image_id", keep="first", maintain_order=True) if of_images else rows
    answers = answerer.answers(shown, ask)
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
    with files.atomic(place.predictions(ask.name)) as temporary:
        frame.write_parquet(temporary)


def rows_of(ask: Ask) -> pl.DataFrame:
    """The set's rows, in its order."""
    table = pl.read_parquet(layout.instances(ask.dataset), columns=COLUMNS)
    return ask.ids().join(table, on="instance_id", how="left", maintain_order="left")
