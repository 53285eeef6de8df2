"""What each step cost, from the provenance that steps leave beside their outputs."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from vlkd_steps import layout
from vlkd_steps.evaluation.gains import Run, folder

Row = dict[str, Any]
COLUMNS = ["step", "dataset", "student", "variant", "shot", "seed", "name", "seconds", "peak_mib", "device", "job_id"]


def timings(experiment: str, runs: Sequence[Run]) -> list[Row]:
    """One row per training run and per pre-training and extraction that the runs build on, where it is known.

    Columns: step, dataset, student, variant, shot, seed, name, seconds, peak_mib, device, job_id. Seconds are of wall
    time, memory is in MiB.
    """
    rows = []
    for step, place, described in _places(experiment, runs):
        known = provenance(place)
        if known is not None:
            row: Row = {column: described.get(column) for column in COLUMNS}
            row |= {"step": step, "name": str(place), "job_id": (known.get("slurm") or {}).get("job_id")}
            rows.append(row | {column: known.get(column) for column in ("seconds", "peak_mib", "device")})
    return rows


def totals(rows: Sequence[Row]) -> list[Row]:
    """For each step, data set and variant: runs, mean and total seconds, the largest memory; in order of appearance."""
    groups: dict[tuple[str | None, ...], list[Row]] = {}
    for row in rows:
        if row["seconds"] is not None:
            what = row["variant"] or row["name"].partition("/")[2]
            groups.setdefault((row["step"], row["dataset"] or "", what), []).append(row)
    return [
        {
            "step": step,
            "dataset": dataset,
            "what": what,
            "variant": mine[0]["variant"],
            "runs": len(mine),
            "seconds": sum(row["seconds"] for row in mine),
            "mean": sum(row["seconds"] for row in mine) / len(mine),
            "peak_mib": max((row["peak_mib"] or 0 for row in mine), default=0),
        }
        for (step, dataset, what), mine in groups.items()
    ]


def run_folders(experiment: str, runs: Sequence[Run]) -> list[Path]:
    return [folder(experiment, run) for run in runs]


def provenance(place: Path) -> dict[str, Any] | None:
    """The `provenance.json` of a folder; None where there is none, or none that can be read."""
    try:
        return json.loads(layout.provenance(place).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _places(experiment: str, runs: Sequence[Run]) -> Iterator[tuple[str, Path, Run]]:
    models = [run["teacher"] for run in runs] + [run["student"] for run in runs]
    for model in dict.fromkeys(filter(None, models)):
        yield "pretrain", layout.model(model), {}
    for teacher, dataset in dict.fromkeys((run["teacher"], run["dataset"]) for run in runs if run["teacher"]):
        yield "extract", layout.features(teacher, dataset), {"dataset": dataset}
    for run in runs:
        yield "distill", folder(experiment, run), run
