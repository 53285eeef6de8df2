"""How long past runs and steps of this project took, from their journals, provenance and Snakemake's records."""

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from vlkd_steps.core import files, layout
from vlkd_steps.tracking import journal


class StepSize(NamedTuple):
    """What a training step reads: so many ``rows``, or ``tokens`` where a recipe's `tokens_per_batch` sets batches."""

    number: int
    unit: str


NO_STEP = StepSize(1, "")  # of a run that trains no student


@dataclass(frozen=True)
class Past:
    """One finished run. Its seconds are those of all its GPUs together; without a GPU they are CPU time of all its
    processes: what it takes on an idle core.

    Attributes:
        step: seconds of one training step; 0 of a run that trains no student.
        rest: seconds of everything else: reading, evaluating, predicting.
        gpus: how many it had.
    """

    tags: dict[str, str]
    step: float
    rest: float
    size: StepSize
    gpus: float


def runs(root: Path = Path("runs")) -> list[Past]:
    """Every run below `root` that finished in one uninterrupted attempt."""
    found = []
    for path in sorted(root.glob("*/*/*/*/*/s*/journal.jsonl")):
        for events in journal.by_run(journal.read(path)).values():
            if past := _past(list(events)):
                found.append(past)
    return found


def _past(events: list[Mapping[str, Any]]) -> Past | None:
    start, end = events[0], events[-1]
    if [event["event"] for event in events].count("start") != 1 or end.get("status") != "FINISHED":
        return None
    training = (start.get("params") or {}).get("training") or {}
    steps = [event["metrics"]["step_ms"] for event in events if "step_ms" in (event.get("metrics") or {})]
    if end.get("seconds") is None:
        return None
    gpus, busy = _devices(start, end)
    step = busy * statistics.fmean(steps or [0.0]) / 1000
    tags = {key: str(value) for key, value in (start.get("tags") or {}).items()}
    size = step_size(training) if step else NO_STEP
    rest = max(0.0, busy * float(end["seconds"]) - step * int(training.get("steps", 0)))
    return Past(tags, step, rest, size, gpus)


def step_size(training: Mapping[str, Any]) -> StepSize:
    """The size of a step by a recipe as it is written."""
    tokens, batches = int(training.get("tokens_per_batch", 0)), int(training.get("accumulation", 1))
    return StepSize((tokens or int(training.get("batch_size", 1))) * batches, "tokens" if tokens else "rows")


def _devices(given: Mapping[str, Any], spent: Mapping[str, Any]) -> tuple[float, float]:
    """GPUs, by an event or a provenance, and the GPU seconds or, without a GPU, CPU seconds in one of its seconds."""
    allocation = given.get("allocation") or {}
    gpus = float(allocation.get("gpus") or 0)
    return gpus, gpus or float(allocation.get("processes") or 1) * _busy(spent)


def _busy(spent: Mapping[str, Any]) -> float:
    """CPU seconds per second, at most 1; less if other work used the core."""
    used, seconds = spent.get("cpu_seconds"), spent.get("seconds")
    return min(1.0, float(used) / float(seconds)) if used and seconds else 1.0


def like(pasts: Iterable[Past], unit: str, **wanted: str) -> tuple[list[Past], str]:
    """The past runs most similar to a planned one, and their common tags: the student, and as many others as possible.

    Args:
        unit: of the planned run's steps (`StepSize`); only runs with the same are similar to it.
        wanted: tags (student, dataset, variant, method) of the planned run.
    """
    mine = [past for past in pasts if past.tags.get("student") == wanted["student"] and past.size.unit == unit]
    for keys in (("dataset", "variant"), ("dataset", "method"), ("method",), ("dataset",), ()):
        chosen = [past for past in mine if all(past.tags.get(key) == wanted.get(key) for key in keys)]
        if chosen:
            return chosen, ", ".join(("student", *keys))
    return [], ""


def features(teacher: str, root: Path = Path("features")) -> tuple[float, bool] | None:
    """Rows (images, texts, words) of a teacher's extractions here per GPU second or CPU second, and which of the two.

    An extraction of which the last job made less than half, because others shared it or had begun it, is left out.
    """
    rates: dict[bool, list[float]] = {}
    for manifest in sorted((root / teacher).glob("*/manifest.json")):
        spent = files.known_json(layout.provenance(manifest.parent))
        made = _rows(spent.get("made"))
        if spent.get("seconds") and made and 2 * made >= _rows(files.known_json(manifest).get("rows")):
            gpus, busy = _devices(spent, spent)
            rates.setdefault(gpus > 0, []).append(made / (busy * float(spent["seconds"])))
    gpu = True in rates
    return (statistics.median(rates[gpu]), gpu) if rates else None


def _rows(kinds: Mapping[str, int] | None) -> int:
    return sum((kinds or {}).get(kind, 0) for kind in ("image", "text", "word"))


def rules(root: Path = Path(".snakemake/metadata")) -> dict[str, float]:
    """Median seconds of a job of each rule, as Snakemake has recorded them; rules of which it has not are left out.

    Of a job of its Slurm executor it records the end as its start, so that its outputs are older.
    """
    seconds: dict[str, dict[float, float]] = {}
    for path in sorted(root.rglob("*")) if root.is_dir() else []:
        spent = files.known_json(path) if path.is_file() else {}
        begin, end = spent.get("starttime") or 0.0, spent.get("endtime") or 0.0
        if spent.get("rule") and not spent.get("incomplete") and 0.0 < begin < end:  # once per job, not per output
            seconds.setdefault(spent["rule"], {})[begin] = end - begin
    return {rule: statistics.median(found.values()) for rule, found in sorted(seconds.items())}
