"""How training went, from the journals: for each data set and shot a curve per variant."""

from collections.abc import Iterator, Mapping, Sequence

from vlkd_steps import layout
from vlkd_steps.evaluation.gains import Run, folder
from vlkd_steps.tracking import journal, published

LABELS = {"loss": "task loss", "dev": "dev accuracy, %"}
# The task's own term is what methods share; their totals hold different terms and cannot be compared.
NAMES = {"loss": ("loss/task", "loss"), "dev": ("dev/accuracy",)}
MOST_POINTS = 150

Told = dict[str, dict[int, float]]  # metric -> step -> value
Curve = dict[int, list[float]]
Panels = dict[tuple[str, str], dict[str, Curve]]


def told(experiment: str, runs: Sequence[Run]) -> Iterator[tuple[Run, Told]]:
    """What each run wrote while it was trained; runs whose journal is not here are left out."""
    for run in runs:
        place = folder(experiment, run)
        by_run = journal.by_run(journal.read(layout.journal(place)))
        if by_run:
            yield run, journal.curves(by_run.get(published.run_key(place) or "") or list(by_run.values())[-1])


def place(run: Run, runs: Sequence[Run]) -> str:
    """The data set of a run, and its student where the data set has several."""
    students = {each["student"] for each in runs if each["dataset"] == run["dataset"]}
    return f"{run['dataset']} {run['student']}" if len(students) > 1 else str(run["dataset"])


def curves(experiment: str, runs: Sequence[Run]) -> dict[str, Panels]:
    """``loss`` and ``dev``: (`place`, shot) -> variant -> step -> the values of all seeds.

    A step enters where every seed that left a journal has it; long curves are thinned to 150 points.
    """
    of_seeds: dict[str, dict[tuple[str, str], dict[str, list[dict[int, float]]]]] = {kind: {} for kind in NAMES}
    for run, found in told(experiment, runs):
        for kind, names in NAMES.items():
            name = next((name for name in names if found.get(name)), None)
            if name is not None:
                panel = of_seeds[kind].setdefault((place(run, runs), str(run["shot"])), {})
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
