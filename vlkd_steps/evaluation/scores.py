"""A run's scores of single items, as `evaluate` left them: found, checked, and the same items for every run."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vlkd_steps.core import checksums, experiment_option, layout, tables
from vlkd_steps.core.errors import UserError
from vlkd_steps.tasks import ACCURACY, Task

Run = Mapping[str, Any]
Row = dict[str, Any]


class Scores:
    """The item scores of all runs on one evaluation set, checked to be over the same items.

    Args:
        task, metric: take the items that this metric of the task is the mean of; without a task, all.

    Attributes:
        floors: what the set's commonest answer scores, in percent [N], of the first run that was read; None: the task
            has no such answer.
    """

    def __init__(self, experiment: str, evaluation_set: str, task: Task | None = None, metric: str = ACCURACY) -> None:
        self.experiment = experiment
        self.evaluation_set = evaluation_set
        self.task, self.metric = task, metric
        self.first: tuple[Path, pl.DataFrame] | None = None
        self.floors: NDArray[np.float64] | None = None

    def __call__(self, run: Run) -> NDArray[np.float64]:
        """Scores in percent [N], in the order of the first run that was read.

        Raises:
            UserError: the run was not evaluated, or on other items than the first one.
        """
        path = evaluated(self.experiment, run, layout.scores(folder(self.experiment, run), self.evaluation_set))
        table = tables.read(path)
        check_scores(table, f"{path}", self.task)
        if self.first is None and "floor" in table.columns and not table["floor"].has_nulls():
            self.floors = 100 * self._compared(table.with_columns(score="floor"))["score"].to_numpy()
        table = self._compared(table)
        if self.first is None:
            self.first = (path, table.select("instance_id", "image_id"))
        elif not table["instance_id"].equals(self.first[1]["instance_id"]):
            table = self._aligned(path, table)
        return 100 * table["score"].to_numpy()

    def images(self) -> list[str]:
        """The image of each item [N]."""
        assert self.first is not None, "read a run first"
        return self.first[1]["image_id"].to_list()

    def ids(self) -> list[str]:
        """The id of each item [N]."""
        assert self.first is not None, "read a run first"
        return self.first[1]["instance_id"].to_list()

    def _compared(self, table: pl.DataFrame) -> pl.DataFrame:
        return self.task.compared(table, self.metric) if self.task else table

    def _aligned(self, path: Path, table: pl.DataFrame) -> pl.DataFrame:
        assert self.first is not None
        other, ids = self.first
        mine, theirs = set(table["instance_id"]), set(ids["instance_id"])
        for instance_id in sorted(mine ^ theirs):
            has, lacks = (path, other) if instance_id in mine else (other, path)
            raise UserError(
                f"two runs were scored on different items: {has} holds instance {instance_id}, {lacks} does not; "
                "evaluate both on the same split (run snakemake --forcerun evaluate)"
            )
        return ids.select("instance_id").join(table, on="instance_id", how="left", maintain_order="left")


def check_scores(table: pl.DataFrame, where: str, task: Task | None = None) -> None:
    """An instance has one score, a finite number, 0 or more, and at most 1 where the task's metrics are percentages.

    Args:
        table: ``instance_id, score``; where: the start of the message.

    Raises:
        UserError: it has not.
    """
    again = "run snakemake --forcerun evaluate; if nothing changes, the task's scorer is wrong"
    twice = table["instance_id"].is_duplicated()
    if twice.any():
        raise UserError(f"{where}: instance {table['instance_id'][twice.arg_true()[0]]} has two scores; {again}")
    of_one = task is not None and all(metric.percentage for metric in task.compared_by)
    score, most = table["score"], 1.0 if of_one else math.inf
    wrong = ~(score.is_finite() & (score >= 0) & (score.round(9) <= most)).fill_null(value=False)
    if wrong.any():
        row = wrong.arg_true()[0]
        allowed = "a number from 0 to 1" if of_one else "a number, 0 or more"
        raise UserError(
            f"{where}: the score of instance {table['instance_id'][row]} is {score[row]}, not {allowed}; {again}"
        )


def folder(experiment: str, run: Run) -> Path:
    return layout.run(experiment, run["dataset"], run["student"], run["variant"], run["shot"], run["seed"])


def evaluated(experiment: str, run: Run, path: Path) -> Path:
    """A file that `evaluate` left of a run, if its bytes are still those.

    Raises:
        UserError: it is missing, or was changed after it was made.
    """
    listing = layout.run_checksums(folder(experiment, run), "evaluate")
    again = f"snakemake --cores 1 -f {{path}} {experiment_option.typed(experiment)}"
    return checksums.verified(path, listing, f"evaluate run {name(run)} again: {again}")


def labelled(run: Run) -> Row:
    """The column with a variant's name for people, in an experiment with a sweep."""
    return {"label": run["label"]} if "label" in run else {}


def name(run: Run) -> str:
    return f"{run['dataset']} {run['student']} {run['variant']} {run['shot']} s{run['seed']}"
