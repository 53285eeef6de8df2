"""The journal of a run: what happened, one JSON object a line, only ever appended to.

It is the source of truth about a run's course; MLflow is filled from it and can be lost. Events:

``start``        run_key, attempt, tags, params, datasets    a process begins, or goes on after a kill
``metrics``      step, epoch, metrics                        of training
``evaluation``   step, set, metrics                          on an evaluation set
``interrupted``  ...                                         asked to stop (TERM, time limit); resumes later
``end``          status (FINISHED or FAILED), seconds, peak_mib

Every event also has ``time``, seconds since 1970 (UTC). An attempt killed outright writes no last event:
the next ``start`` follows, and of a step that was logged twice the later one counts.
"""

import json
import math
import os
import shutil
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from vlkd_steps.core import files, layout, locks
from vlkd_steps.core.redaction import redacted
from vlkd_steps.core.step import log

Event = dict[str, Any]


class Journal:
    """Appends events to a file. While it is open, `locks.is_open` is true, which a killed writer's is not.

    Each event is one ``write`` of one whole line to a file in append mode: lines of several writers on one
    machine never mix, and what was appended survives ``kill -9``.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        _detach(path)
        self._file = path.open("a+b", buffering=0)
        locks.mark_open(self._file)

    def append(self, event: str, **fields: Any) -> None:
        """Add one event with the time of day. Not-a-number values become the strings ``NaN``, ``Infinity``...

        Raises:
            OSError: the line could not be written (no space).
        """
        record = {"event": event, "time": round(time.time(), 3), **fields}
        line = json.dumps(_plain(record), ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode() + b"\n"
        if self._torn():
            line = b"\n" + line  # ends the line of a writer that died in it (beside a busy one: an empty line)
        view = memoryview(line)
        while view:  # a full disk writes a part; the next write then raises
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
    """All events in order; [] where there is no journal. Damaged lines are left out, and a warning counts them.

    Metrics come back as floats, NaN and infinities included.
    """
    events, left_out = _lines(path)
    if left_out and _warned.get(path) != left_out:
        _warned[path] = left_out
        log.warning(
            "%s: %d of its lines cannot be read (cut by a kill, or damaged), the first of them line %d; left out",
            path, len(left_out), left_out[0],
        )  # fmt: skip
    return events


_warned: dict[Path, list[int]] = {}
"""The damaged lines that this process has warned of: a tracker reads every journal again and again."""


def damaged(path: Path) -> int:
    """How many lines of a journal `read` leaves out."""
    return len(_lines(path)[1])


def by_run(events: Iterable[Event]) -> dict[str, list[Event]]:
    """The events of each run key, the one started last at the end. A changed configuration begins another run."""
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
    """Which run of a folder's journal the folder's model and predictions are of: the run key in its config.yaml.

    None where it has none.
    """
    try:
        content = yaml.safe_load(layout.run_config(folder).read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError):
        return None
    return content.get("run_key") if isinstance(content, dict) else None


def ended(path: Path, run_key: str) -> bool:
    """Whether a run has ended well, and has not been started again since."""
    events = by_run(read(path)).get(run_key, [])
    return bool(events) and events[-1]["event"] == "end" and events[-1].get("status") == "FINISHED"


def next_attempt(path: Path, run_key: str) -> int:
    """Number of the attempt that would start now: 1 for a new run key, else one more than were started."""
    return 1 + sum(event["event"] == "start" for event in by_run(read(path)).get(run_key, []))


def curves(events: Iterable[Event]) -> dict[str, dict[int, float]]:
    """Metric name -> step -> value, steps ascending; of a step seen twice the later value counts.

    Evaluation metrics are named ``<set>/<metric>``. Give it the events of one run (`by_run`).
    """
    points: dict[str, dict[int, float]] = {}
    for event in events:
        if event["event"] not in ("metrics", "evaluation"):
            continue
        prefix = f"{event['set']}/" if event["event"] == "evaluation" else ""
        for name, value in event["metrics"].items():
            points.setdefault(prefix + name, {})[int(event["step"])] = value
    return {name: dict(sorted(steps.items())) for name, steps in points.items()}


_NUMBER = (int, float)
_FIELDS: dict[str, type | tuple[type, ...]] = {
    "time": _NUMBER, "run_key": str, "step": int, "metrics": dict, "set": str, "status": str,
    "tags": dict, "params": dict, "datasets": list, "seconds": _NUMBER, "epoch": _NUMBER,
}  # fmt: skip
_REQUIRED = {"start": ["run_key"], "metrics": ["step", "metrics"], "evaluation": ["step", "set", "metrics"]}


def _lines(path: Path) -> tuple[list[Event], list[int]]:
    """The events of a journal, and the numbers of the lines that are none."""
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return [], []
    parsed = [(number, _event(line)) for number, line in enumerate(lines, 1) if line]
    wrong = [number for number, event in parsed if event is None]
    if wrong[-1:] == [len(lines)] and locks.is_open(path):  # just being written
        wrong.pop()
    return [event for _, event in parsed if event is not None], wrong


def _event(line: bytes) -> Event | None:
    """The event of a line; None of a damaged one."""
    try:
        event = json.loads(line)
        required = ["time", *_REQUIRED.get(event["event"], [])]
        known = {name: event[name] for name in _FIELDS if name in required or event.get(name) is not None}
        if not all(isinstance(value, _FIELDS[name]) for name, value in known.items()):
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
    """Strict JSON from Python, numpy and torch values."""
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
