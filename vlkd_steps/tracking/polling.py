"""How `vlkd track --follow` polls run folders: how often, and until when."""

import contextlib
import os
import select
import signal
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path

INTERVAL = 2.0  # seconds between two polls of the runs that train
SHARE = 0.008  # of a core, for polling all run folders while runs train


class Pace:
    """When all run folders are polled: as often as SHARE of a core allows, time spent on new runs excluded."""

    def __init__(self) -> None:
        self._next = 0.0

    @property
    def due(self) -> bool:
        return time.monotonic() >= self._next

    @contextlib.contextmanager
    def spending(self) -> Iterator[None]:
        begun = time.process_time()
        yield
        self._next = time.monotonic() + (time.process_time() - begun) / SHARE


class Stop:
    """A request to stop: TERM or INT, stdin closed (if it is a pipe), or the end of the process `pid`."""

    def __init__(self, pid: int | None = None) -> None:
        self._pid = pid
        self._stopped = threading.Event()
        self._pipe = stat.S_ISFIFO(os.fstat(0).st_mode) if _is_open(0) else False
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, self._on_signal)

    @property
    def requested(self) -> bool:
        """Whether a stop was requested."""
        if self._pipe and select.select([0], [], [], 0)[0] and not os.read(0, 4096):
            self._stopped.set()
        if self._pid is not None and not _lives(self._pid):
            self._stopped.set()
        return self._stopped.is_set()

    def wait(self, seconds: float) -> None:
        """Sleep until a stop is requested, at most `seconds`."""
        until = time.monotonic() + seconds
        while not self.requested and (rest := until - time.monotonic()) > 0:
            self._stopped.wait(min(rest, 0.25))

    def _on_signal(self, number: int, frame: object) -> None:
        self._stopped.set()
        signal.signal(number, signal.SIG_DFL)  # a second one ends the process at once


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return not _ended(pid)


def _ended(pid: int) -> bool:
    """Whether it has ended and its parent has not asked how, which the first process of a container may never do."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0] == "Z"
    except (OSError, IndexError):  # there is no /proc on macOS
        return False


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True
