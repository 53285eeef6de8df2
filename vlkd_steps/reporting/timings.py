"""The cost of each step, from the runs' journals and the provenance beside the steps' outputs."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from vlkd_steps.config import teacher_names
from vlkd_steps.core import files, layout
from vlkd_steps.evaluation.scores import Run, folder
from vlkd_steps.tracking import cost
from vlkd_steps.tracking.cost import Cost

Row = dict[str, Any]
COLUMNS = [
    "step", "dataset", "student", "variant", "shot", "seed", "name", "attempts", "seconds", "gpu_hours", "core_hours",
    "cpu_efficiency", "peak_mib", "gpu_peak_mib", "device", "gpu", "slurm_job", "slurm_node", "slurm_partition",
]  # fmt: skip


def timings(experiment: str, runs: Sequence[Run], of_runs: Mapping[Path, Cost]) -> list[Row]:
    """One row per training run, and per pre-training, extraction and file of targets that the runs depend on, if known.

    Columns: `COLUMNS`. Seconds are of wall time over all attempts, memory is in MiB; hours are those of the allocated
    cores and GPUs. None: recorded neither in a run's journal nor in its provenance.

    Args:
        of_runs: by run folder, the cost from its journal (`training.logged`).
    """
    rows = []
    for step, place, described in _places(experiment, runs):
        known = provenance(place)
        spent = of_runs.get(place)
        if spent is None and known is not None:
            spent = cost.of_step(known)
        if spent is not None:
            row: Row = {column: described.get(column) for column in COLUMNS}
            row |= {"step": step, "name": str(place), "device": (known or {}).get("device"), **spent.allocation}
            row |= {"attempts": spent.attempts, "gpu_hours": spent.gpu_hours, **spent.numbers()}
            rows.append(row)
    return rows


def written(row: Row) -> Row:
    """A row of `timings.csv`: hours with six decimals (a second is in the fourth)."""
    hours = {name: f"{row[name]:.6f}" for name in ("gpu_hours", "core_hours") if row[name] is not None}
    return {**row, **hours}


def made(row: Row) -> str:
    """The variant, model or teacher whose step a row is of."""
    # models/<model>, features/<teacher>/<data set>, targets/<data set>/<teacher>/...
    return row["variant"] or Path(row["name"]).parts[2 if row["step"] == "targets" else 1]


def totals(rows: Sequence[Row]) -> list[Row]:
    """`summed` rows for each step, data set and variant, in order of appearance."""
    groups: dict[tuple[str | None, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["step"], row["dataset"] or "", made(row)), []).append(row)
    return [
        {"step": step, "dataset": dataset, "what": what, "variant": mine[0]["variant"], **summed(mine)}
        for (step, dataset, what), mine in groups.items()
    ]


def summed(rows: Sequence[Row]) -> Row:
    """The sum of runs, attempts, seconds and hours over some rows, means per run, and the largest memory."""
    number = len(rows)
    hours = {name: _sum(rows, name) for name in ("gpu_hours", "core_hours")}
    return {
        "runs": number,
        "attempts": sum(row["attempts"] for row in rows),
        "seconds": sum(row["seconds"] for row in rows),
        "mean": sum(row["seconds"] for row in rows) / number if number else 0.0,
        **hours,
        **{f"mean_{name}": None if value is None or not number else value / number for name, value in hours.items()},
        "cpu_efficiency": _efficiency(rows),
        "peak_mib": max((row["peak_mib"] or 0 for row in rows), default=0),
    }


def run_folders(experiment: str, runs: Sequence[Run]) -> list[Path]:
    return [folder(experiment, run) for run in runs]


def provenance(place: Path) -> dict[str, Any] | None:
    """The provenance of a folder, or of a file of targets; None: missing or unreadable."""
    of_targets = place.suffix == ".parquet"
    return files.known_json((layout.targets_provenance if of_targets else layout.provenance)(place)) or None


def _sum(rows: Sequence[Mapping[str, Any]], column: str) -> float | None:
    """A column's sum; None if any row lacks it, because a partial cost would look like the total."""
    values = [row[column] for row in rows]
    return None if None in values else sum(values)


def _efficiency(rows: Sequence[Mapping[str, Any]]) -> float | None:
    """The share of the allocated CPU time that was used, over the rows that have it."""
    known = [row for row in rows if row["cpu_efficiency"] is not None and row["core_hours"]]
    given = sum(row["core_hours"] for row in known)
    return sum(row["cpu_efficiency"] * row["core_hours"] for row in known) / given if given else None


def _places(experiment: str, runs: Sequence[Run]) -> Iterator[tuple[str, Path, Run]]:
    taught = [(teacher, run["dataset"]) for run in runs for teacher in teacher_names.split(run["teacher"])]
    seen = [(run["regions"], run["dataset"]) for run in runs if run.get("regions")]
    models = [teacher for teacher, _ in taught] + [run["student"] for run in runs]
    for model in dict.fromkeys(models):
        yield "pretrain", layout.model(model), {}
    for teacher, dataset in dict.fromkeys(taught + seen):
        yield "extract", layout.features(teacher, dataset), {"dataset": dataset}
    made = {}
    for run in runs:
        if key := run.get("targets"):
            described = {name: run[name] for name in ("dataset", "shot", "seed")}
            made[layout.targets(run["dataset"], run["teacher"], run["shot"], run["seed"], key)] = described
    for place, described in made.items():
        yield "targets", place, described
    for run in runs:
        yield "distill", folder(experiment, run), run
