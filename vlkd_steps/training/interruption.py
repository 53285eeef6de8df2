"""TERM and Ctrl-C: finish the step at hand, keep it, stop. Nothing is computed twice (DESIGN 6)."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType


class Interrupted(Exception):
    """Training was told to stop and has saved where it stands.

    Attributes:
        exit_status: 128 + the signal's number, as a shell reports a process ended by that signal: 143 for TERM.
    """

    def __init__(self, signal_number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(signal_number).name}; the next start goes on from here")
        self.exit_status = 128 + signal_number


class StopRequest:
    """The signal that asked to stop, or 0; long work looks at it between two units of work."""

    def __init__(self) -> None:
        self.signal_number = 0

    def __bool__(self) -> bool:
        return self.signal_number != 0

    def raise_if_set(self) -> None:
        if self.signal_number:
            raise Interrupted(self.signal_number)


@contextlib.contextmanager
def stop_request() -> Iterator[StopRequest]:
    """Note TERM and INT instead of dying by them, for the length of the block (in the main thread)."""
    request = StopRequest()

    def note(number: int, frame: FrameType | None) -> None:
        request.signal_number = number

    if threading.current_thread() is not threading.main_thread():
        yield request  # only the main thread may set handlers, so nobody asks
        return
    previous = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield request
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
