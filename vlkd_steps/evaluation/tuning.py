"""The best member of each sweep by dev: what `vlkd tune` chooses, from the runs of `summary.csv`."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from vlkd_steps import tasks
from vlkd_steps.config.models.composition import Cell, Composition
from vlkd_steps.core.errors import UserError

DEV = "dev"
Group = tuple[str, ...]
Runs = Mapping[str, Sequence[tuple[int, Mapping[str, Any]]]]
"""By member, the seed and the row of each of its runs."""


@dataclass(frozen=True)
class Trial:
    """A member's runs on dev.

    Attributes:
        mean: of the metric, over data sets, seeds and whatever else the group leaves open, as far as all members have
            them.
        run_keys: of its runs.
    """

    member: str
    mean: float
    seeds: tuple[int, ...]
    run_keys: tuple[str, ...]


@dataclass(frozen=True)
class Choice:
    """The trials of one swept variant in one group of runs, the best first; of equal ones the first of the sweep."""

    group: Group
    metric: str
    trials: tuple[Trial, ...]


def by_place(c: Composition, cell: Cell) -> Group:
    """Task, student, shot and swept variant: for each of these a value is chosen."""
    return c.datasets[cell.dataset].task, cell.student, cell.shot, c.members[cell.variant].variant


def by_task(c: Composition, cell: Cell) -> Group:
    """Task, shot and swept variant: for each of these a preset can say a value."""
    return c.datasets[cell.dataset].task, cell.shot, c.members[cell.variant].variant


def choices(
    c: Composition,
    rows: Sequence[Mapping[str, Any]],
    group: Callable[[Composition, Cell], Group] = by_place,
    metric: str | None = None,
) -> list[Choice]:
    """The choice of every group, in the grid's order.

    Args:
        rows: of `summary.csv`.
        metric: of tasks that have several; default: the task's main one.

    Raises:
        UserError: nothing is swept, nothing was evaluated on dev, runs are missing, or members have no data set and
            student in common.
    """
    cells = on_dev(c)
    values = {
        (row["dataset"], row["student"], row["variant"], row["shot"], int(row["seed"]), row["metric"]): row
        for row in rows
        if row["evaluation_set"] == DEV
    }
    found: dict[Group, dict[str, list[tuple[int, Mapping[str, Any]]]]] = {}
    missing = []
    for cell in cells:
        name = measure(c.datasets[cell.dataset].task, metric)
        for seed in c.grid.seed:
            row = values.get((*cell, seed, name))
            if row is None:
                missing.append(f"{cell.dataset} {cell.student} {c.label(cell.variant)} {cell.shot} s{seed}")
                continue
            found.setdefault(group(c, cell), {}).setdefault(cell.variant, []).append((seed, row))
    if missing:
        raise UserError(
            f"experiment {c.experiment}: {len(missing)} of {len(cells) * len(c.grid.seed)} runs have no {DEV} value in "
            f"results/{c.experiment}/summary.csv, the first is {missing[0]}; finish them: vlkd run {c.experiment}"
        )
    return [
        Choice(each, measure(each[0], metric), _ranked(_in_shared_places(c, each, of_members)))
        for each, of_members in found.items()
    ]


def _in_shared_places(c: Composition, group: Group, of_members: Runs) -> Runs:
    """Only the runs with data sets and students that all members have: means over others say nothing of the values."""
    places = [{(row["dataset"], row["student"]) for _, row in runs} for runs in of_members.values()]
    shared = set.intersection(*places)
    if not shared:
        labels = ", ".join(map(c.label, of_members))
        raise UserError(
            f"experiment {c.experiment}: {' '.join(group)}: the grid has no data set and student for all of {labels}, "
            "which cannot be compared; give all of them one, or tune them in experiments of their own"
        )
    return {
        member: [(seed, row) for seed, row in runs if (row["dataset"], row["student"]) in shared]
        for member, runs in of_members.items()
    }


def measure(task: str, metric: str | None) -> str:
    """The metric that decides: the one that is asked for where the task has it, else its main one."""
    names = [each.name for each in metrics(task)]
    return metric if metric in names else names[0]


def metrics(task: str) -> Sequence[tasks.Metric]:
    """Those of a task, the main one first."""
    return tasks.load(task).compared_by


def on_dev(c: Composition) -> list[Cell]:
    """The cells of swept variants that are evaluated on dev.

    Raises:
        UserError: there are none.
    """
    swept = [cell for cell in c.cells if cell.variant in c.members]
    if not swept:
        raise UserError(
            f"experiment {c.experiment} sweeps nothing; give a variant of it a sweep, such as "
            "overrides: {variants.clip_td.sweep: {lambda0: [1, 3, 10]}} in params.yaml"
        )
    found = [cell for cell in swept if DEV in c.datasets[cell.dataset].evaluation_sets]
    if not found:
        names = ", ".join(dict.fromkeys(cell.dataset for cell in swept))
        raise UserError(
            f"experiment {c.experiment}: no run is evaluated on {DEV}, by which values are chosen; give {names} a role "
            f"{DEV} and name it in evaluation_sets (datasets.<name>.evaluation_sets)"
        )
    return found


def edges(c: Composition, choice: Choice) -> list[str]:
    """The swept keys whose best value is the least or the largest that was tried: a better one may lie beyond."""
    found = []
    tried = [c.members[trial.member].swept for trial in choice.trials]
    for key, value in tried[0].items():
        numbers = {each[key] for each in tried if type(each[key]) in (int, float)}
        if type(value) in (int, float) and len(numbers) > 1 and value in (min(numbers), max(numbers)):
            found.append(f"{key} is the {'least' if value == min(numbers) else 'largest'} that was tried")
    return found


def ties(choice: Choice) -> list[Trial]:
    """The trials that are as good as the best one, which is only the first of them in the sweep."""
    best, *others = choice.trials
    return [trial for trial in others if math.isclose(trial.mean, best.mean, rel_tol=1e-9)]


def _ranked(of_members: Runs) -> tuple[Trial, ...]:
    trials = [
        Trial(
            member,
            fmean(row["value"] for _, row in runs),
            tuple(dict.fromkeys(seed for seed, _ in runs)),
            tuple(row["run_key"] for _, row in runs),
        )
        for member, runs in of_members.items()
    ]
    return tuple(sorted(trials, key=lambda trial: -trial.mean))
