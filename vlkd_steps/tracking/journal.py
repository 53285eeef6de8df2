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
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from vlkd_steps.core import files, layout, locks
from vlkd_steps.core.redaction import redacted

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
    """All events in order; [] where there is no journal. Lines torn by a kill are left out.

    Metrics come back as floats, NaN and infinities included.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return []
    return list(_events(content))


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


def _events(content: bytes) -> Iterator[Event]:
    for line in content.split(b"\n"):
        try:
            event = json.loads(line)
        except ValueError:  # an empty line, or the torn one of a killed writer
            continue
        if not isinstance(event, dict) or "event" not in event:
            continue
        if isinstance(event.get("metrics"), dict):
            event["metrics"] = {name: float(value) for name, value in event["metrics"].items()}
        yield event


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
