"""The journal of a run: an append-only log of events, one JSON object per line.

It is the source of truth about a run; MLflow is filled from it and can be rebuilt. Events:

``start``        run_key, attempt, tags, params, datasets    a process starts, or resumes after a kill
``metrics``      step, epoch, metrics                        of training
``evaluation``   step, set, metrics                          on an evaluation set
``interrupted``  ...                                         stopped (TERM, time limit); resumes later
``end``          status (FINISHED or FAILED), seconds, peak_mib

Every event also has ``time``, seconds since 1970 (UTC). A killed attempt writes no last event: the
next ``start`` follows, and if a step was logged twice the later value counts.
"""

import json
import math
import os
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from vlkd_steps.core import files, layout, locks, run_yaml
from vlkd_steps.core.numbers import finite
from vlkd_steps.core.redaction import redacted
from vlkd_steps.core.step import log

Event = dict[str, Any]


class Journal:
    """Appends events to a file. `locks.is_open` is true while it is open, and false after a kill.

    Each event is one ``write`` of a complete line to a file in append mode: lines of several writers on one machine
    never mix, and what was appended survives ``kill -9``.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        _detach(path)
        self._file = path.open("a+b", buffering=0)
        locks.mark_open(self._file)

    def append(self, event: str, **fields: Any) -> None:
        """Add one event with the current time. Non-finite values become the strings ``NaN``, ``Infinity``...

        Raises:
            OSError: the line could not be written (no space).
        """
        record = {"event": event, "time": round(time.time(), 3), **fields}
        line = json.dumps(_plain(record), ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode() + b"\n"
        if self._torn():
            line = (
                b"\n" + line
            )  # ends an incomplete line of a killed writer (if the writer is alive, this is an empty line)
        view = memoryview(line)
        while view:  # on a full disk part of it is written, and the next write raises
            view = view[self._file.write(view) :]

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _torn(self) -> bool:
        size = os.fstat(self._file.fileno()).st_size
        return size > 0 and os.pread(self._file.fileno(), 1, size - 1) != b"\n"


def read(path: Path) -> list[Event]:
    """All events in order; [] without a journal. Damaged lines are left out, and a warning counts them.

    Metrics are floats, including NaN and infinities.
    """
    events, left_out = _lines(path)
    if left_out and _warned.get(path) != left_out:
        _warned[path] = left_out
        log.warning(
            "%s: %d of its lines cannot be read (cut by a kill, or damaged), the first is line %d; left out",
            path, len(left_out), left_out[0],
        )  # fmt: skip
    return events


_warned: dict[Path, list[int]] = {}
"""Damaged lines already reported by this process: a tracker reads every journal repeatedly."""


def damaged(path: Path) -> int:
    """The number of lines of a journal that `read` leaves out."""
    return len(_lines(path)[1])


def by_run(events: Iterable[Event]) -> dict[str, list[Event]]:
    """The events of each run key, the last started one last. A changed configuration starts another run."""
    runs: dict[str, list[Event]] = {}
    current: list[Event] | None = None
    for event in events:
        if event["event"] == "start":
            run_key = str(event["run_key"])
            current = runs[run_key] = runs.pop(run_key, [])
        if current is not None:
            current.append(event)
    return runs


def owner(folder: Path) -> str | None:
    """The run key of a folder's model and predictions, from its config.yaml; None: there is none."""
    try:
        content = run_yaml.parse(layout.run_config(folder).read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return None
    return content.get("run_key") if isinstance(content, dict) else None


def ended(path: Path, run_key: str) -> bool:
    """Whether a run has finished successfully and has not been started again since."""
    events = by_run(read(path)).get(run_key, [])
    return bool(events) and events[-1]["event"] == "end" and events[-1].get("status") == "FINISHED"


def next_attempt(path: Path, run_key: str) -> int:
    """The number of the next attempt: 1 for a new run key."""
    return 1 + sum(event["event"] == "start" for event in by_run(read(path)).get(run_key, []))


def curves(events: Iterable[Event]) -> dict[str, dict[int, float]]:
    """Metric name -> step -> value, steps ascending; if a step occurs twice, the later value counts.

    Evaluation metrics are named ``<set>/<metric>``. `events` are those of one run (`by_run`).
    """
    points: dict[str, dict[int, float]] = {}
    for event in events:
        if event["event"] not in ("metrics", "evaluation"):
            continue
        prefix = f"{event['set']}/" if event["event"] == "evaluation" else ""
        for name, value in event["metrics"].items():
            points.setdefault(prefix + name, {})[int(event["step"])] = value
    return {name: dict(sorted(steps.items())) for name, steps in points.items()}


_TYPES = {
    "event": str, "run_key": str, "metrics": dict, "set": str, "status": str, "tags": dict, "params": dict,
    "datasets": list,
}  # fmt: skip
LARGEST_STEP = 2**63 - 1  # that a database holds


def _is(kind: type) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, kind)


_FIELDS: dict[str, Callable[[Any], bool]] = {
    **{name: _is(kind) for name, kind in _TYPES.items()},
    **dict.fromkeys(("time", "seconds", "epoch", "cpu_seconds", "peak_mib", "gpu_peak_mib"), finite),
    "step": lambda value: type(value) is int and abs(value) <= LARGEST_STEP,
    "allocation": lambda value: isinstance(value, dict) and all(n is None or finite(n) for n in value.values()),
}
"""Whether a field's value is valid, where it has one."""
_REQUIRED = {"start": ["run_key"], "metrics": ["step", "metrics"], "evaluation": ["step", "set", "metrics"]}


def _lines(path: Path) -> tuple[list[Event], list[int]]:
    """The events of a journal, and the numbers of its invalid lines."""
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return [], []
    parsed = [(number, _event(line)) for number, line in enumerate(lines, 1) if line]
    wrong = [number for number, event in parsed if event is None]
    if wrong[-1:] == [len(lines)] and locks.is_open(path):  # being written now
        wrong.pop()
    return [event for _, event in parsed if event is not None], wrong


def _event(line: bytes) -> Event | None:
    """The event of a line; None: the line is damaged."""
    try:
        event = json.loads(line)
        required = ["time", *_REQUIRED.get(event["event"], [])]
        known = {name: event[name] for name in _FIELDS if name in required or event.get(name) is not None}
        if not all(_FIELDS[name](value) for name, value in known.items()):
            return None
        if "metrics" in known:
            event["metrics"] = {name: float(value) for name, value in known["metrics"].items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError):
        return None
    found: Event = event
    return found


def _detach(path: Path) -> None:
    """Replace a journal that DVC checked out as a link into its cache by a copy, so that the cache is not modified."""
    if not path.exists():
        return
    if path.is_symlink() or path.stat().st_nlink > 1 or not path.stat().st_mode & 0o200:
        with files.atomic(path) as temporary:
            shutil.copyfile(path, temporary)


def _plain(value: Any) -> Any:
    """A value for strict JSON from Python, numpy and torch values."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, str):
        return redacted(value)
    if hasattr(value, "item"):  # a numpy or torch scalar
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value
