"""Training curves from the journals: for each data set and shot, one per variant."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from vlkd_steps.core import layout
from vlkd_steps.evaluation.scores import Run, folder
from vlkd_steps.tracking import cost, journal
from vlkd_steps.tracking.cost import Cost

LABELS = {"loss": "task loss", "dev": "dev accuracy, %"}
# Methods share only the task's own loss; their totals have different terms and cannot be compared.
NAMES = {"loss": ("loss/task", "loss"), "dev": ("dev/accuracy",)}
MOST_POINTS = 75  # two pixels apart in a panel

Logged = dict[str, dict[int, float]]  # metric -> step -> value
Curve = dict[int, list[float]]
Panels = dict[tuple[str, str], dict[str, Curve]]


def logged(experiment: str, runs: Sequence[Run]) -> tuple[list[tuple[str, Run, Logged]], dict[Path, Cost]]:
    """The training logs of each run, (name, run, metrics), and the cost by run folder.

    Runs whose journal is not here are left out. The name is the run's data set, with its student if the data set has
    several. Both are read in one pass, because journals are most of a report's input.
    """
    students: dict[str, set[str]] = {}
    for run in runs:
        students.setdefault(run["dataset"], set()).add(run["student"])
    found, costs = [], {}
    for run in runs:
        where = folder(experiment, run)
        by_run = journal.by_run(journal.read(layout.journal(where)))
        if by_run:
            place = f"{run['dataset']} {run['student']}" if len(students[run["dataset"]]) > 1 else run["dataset"]
            owner = journal.owner(where)
            if owner in by_run:
                costs[where] = cost.of(by_run[owner])
            own = by_run.get(owner or "") or list(by_run.values())[-1]
            found.append((place, run, journal.curves(own)))
    return found, costs


def curves(seen: Sequence[tuple[str, Run, Logged]]) -> dict[str, Panels]:
    """``loss`` and ``dev`` of what was `logged`: (name, shot) -> variant -> step -> the values of all seeds.

    A step is kept if every seed with a journal has it; long curves are thinned to `MOST_POINTS`.
    """
    of_seeds: dict[str, dict[tuple[str, str], dict[str, list[dict[int, float]]]]] = {kind: {} for kind in NAMES}
    for place, run, found in seen:
        for kind, names in NAMES.items():
            name = next((name for name in names if found.get(name)), None)
            if name is not None:
                panel = of_seeds[kind].setdefault((place, str(run["shot"])), {})
                panel.setdefault(run["variant"], []).append(found[name])
    return {
        kind: {
            panel: {variant: _common(each) for variant, each in of_variants.items()}
            for panel, of_variants in panels.items()
        }
        for kind, panels in of_seeds.items()
    }


def _common(of_seeds: Sequence[Mapping[int, float]]) -> Curve:
    steps = sorted(set.intersection(*(set(curve) for curve in of_seeds)))
    every = -(-len(steps) // MOST_POINTS) or 1
    kept = [step for number, step in enumerate(steps) if number % every == 0 or number == len(steps) - 1]
    return {step: [curve[step] for curve in of_seeds] for step in kept}
