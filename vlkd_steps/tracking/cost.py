"""The cost of a run over all its attempts, from its journal, including what a preempted attempt lost.

An attempt lasts from its ``start`` to its last event, or as long as that event records (``seconds``); one that was
killed counts up to its last event. Time in a queue, and before the journal is opened, is not counted.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vlkd_steps.tracking.journal import Event

ALLOCATION_TAGS = ("slurm_job", "slurm_node", "slurm_partition", "gpu")


@dataclass(frozen=True)
class Cost:
    """Sums over attempts.

    Attributes:
        seconds: wall time.
        core_hours, gpu_hours: allocated to the attempts, used or not; None: not recorded.
        cpu_efficiency: CPU time used / CPU time allocated, over the attempts that record both.
        peak_mib, gpu_peak_mib: the largest of any attempt.
        allocation: `ALLOCATION_TAGS` -> the attempts' distinct values in order, joined by commas.
    """

    attempts: int
    seconds: float
    core_hours: float | None
    gpu_hours: float | None
    cpu_efficiency: float | None
    peak_mib: float | None
    gpu_peak_mib: float | None
    allocation: dict[str, str]

    def numbers(self) -> dict[str, float]:
        """The known values by name, for tables and trackers; GPU-hours only if there were any."""
        found = {name: getattr(self, name) for name in
                 ("seconds", "core_hours", "gpu_hours", "cpu_efficiency", "peak_mib", "gpu_peak_mib")}  # fmt: skip
        return {name: value for name, value in found.items() if value is not None and (name != "gpu_hours" or value)}


def of(events: Sequence[Event]) -> Cost:
    """The cost of one run, from its events (`journal.by_run`)."""
    return _total(_attempts(events))


def of_step(provenance: Mapping[str, Any]) -> Cost:
    """The cost of a step that keeps no journal, from its ``provenance.json``: its last attempt only."""
    slurm = provenance.get("slurm") or {}
    array, task = slurm.get("array_job_id"), slurm.get("array_task_id")
    tags = {
        "slurm_job": f"{array}_{task}" if array and task else slurm.get("job_id"),
        "slurm_node": slurm.get("job_nodelist"),
        "slurm_partition": slurm.get("job_partition"),
    }
    cost = _total([_Attempt(float(provenance.get("seconds") or 0.0), provenance, provenance.get("allocation"), tags)])
    return dataclasses.replace(cost, cpu_efficiency=(provenance.get("efficiency") or {}).get("cpu"))


def hours(core_hours: float | None, gpu_hours: float | None) -> str:
    """``1.25 GPU-hours`` or, without a GPU, ``0.031 core-hours``; empty if not known."""
    number, unit = (gpu_hours, "GPU-hours") if gpu_hours else (core_hours, "core-hours")
    if number is None:
        return ""
    return f"{number:,.0f} {unit}" if number >= 100 else f"{number:.3g} {unit}"


@dataclass(frozen=True)
class _Attempt:
    seconds: float
    used: Mapping[str, Any]  # cpu_seconds, peak_mib, gpu_peak_mib
    given: Mapping[str, Any] | None  # cpus, gpus, processes; None in journals written before they were recorded
    tags: Mapping[str, Any]


def _total(attempts: Sequence[_Attempt]) -> Cost:
    measured = [a for a in attempts if a.given and a.used.get("cpu_seconds") is not None and a.seconds]
    cpu_given = sum(a.seconds * a.given["cpus"] for a in measured if a.given)
    cpu_used = sum(a.used["cpu_seconds"] * (a.given.get("processes") or 1) for a in measured if a.given)
    return Cost(
        attempts=len(attempts),
        seconds=round(sum(a.seconds for a in attempts), 3),
        core_hours=_hours(attempts, "cpus"),
        gpu_hours=_hours(attempts, "gpus"),
        cpu_efficiency=round(cpu_used / cpu_given, 4) if cpu_given else None,
        peak_mib=_largest(attempts, "peak_mib"),
        gpu_peak_mib=_largest(attempts, "gpu_peak_mib"),
        allocation={
            name: ", ".join(dict.fromkeys(str(a.tags[name]) for a in attempts if a.tags.get(name)))
            for name in ALLOCATION_TAGS
            if any(a.tags.get(name) for a in attempts)
        },
    )


def _attempts(events: Sequence[Event]) -> list[_Attempt]:
    begins = [i for i, event in enumerate(events) if event["event"] == "start"]
    parts = [events[begin:end] for begin, end in zip(begins, [*begins[1:], len(events)], strict=True)]
    return [_attempt(part[0], part[-1]) for part in parts]


def _attempt(start: Event, last: Event) -> _Attempt:
    lasted = max(0.0, last["time"] - start["time"])
    seconds = float(last["seconds"]) if last.get("seconds") is not None else lasted
    given = start.get("allocation")
    return _Attempt(seconds, last, given if isinstance(given, Mapping) else None, start.get("tags") or {})


def _hours(attempts: Sequence[_Attempt], what: str) -> float | None:
    numbers = [(a.given or {}).get(what) for a in attempts]
    if any(number is None for number in numbers):
        return None
    return round(sum(a.seconds * (number or 0) for a, number in zip(attempts, numbers, strict=True)) / 3600, 6)


def _largest(attempts: Sequence[_Attempt], what: str) -> float | None:
    return max((float(a.used[what]) for a in attempts if a.used.get(what) is not None), default=None)
