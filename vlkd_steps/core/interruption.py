"""TERM, Ctrl-C, a closed terminal, Slurm's warning: finish the step at hand, save, stop. Nothing is computed twice."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2)
"""USR2 is what submitit has Slurm send before a time limit (``--signal=USR2@seconds``)."""


class Interrupted(Exception):
    """Training received a stop signal and has saved its state.

    Attributes:
        exit_status: 128 + the signal's number, as a shell reports a process ended by that signal: 143 for TERM.
    """

    def __init__(self, signal_number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(signal_number).name}; the next start continues from here")
        self.exit_status = 128 + signal_number


class StopRequest:
    """The stop signal received, or 0; long-running code checks it between units of work."""

    def __init__(self) -> None:
        self.signal_number = 0

    def __bool__(self) -> bool:
        return self.signal_number != 0

    def raise_if_set(self) -> None:
        if self.signal_number:
            raise Interrupted(self.signal_number)


def ignored(number: signal.Signals) -> bool:
    """Whether this process is to ignore a signal: HUP under nohup, INT in the background of a script."""
    return signal.getsignal(number) is signal.SIG_IGN


@contextlib.contextmanager
def as_ctrl_c() -> Iterator[None]:
    """Within the block TERM and a closed terminal end this process as Ctrl-C does, so that it removes temporary files.

    They raise KeyboardInterrupt with the signal's number. `stop_request` comes before it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    own = os.getpid()

    def end(number: int, frame: FrameType | None) -> None:
        if os.getpid() != own:  # a forked worker: it has nothing to remove
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        raise KeyboardInterrupt(number)

    heard = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) is signal.SIG_DFL]
    for number in heard:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in heard:
            signal.signal(number, signal.SIG_DFL)


_outer: StopRequest | None = None


@contextlib.contextmanager
def stop_request() -> Iterator[StopRequest]:
    """Record the `SIGNALS` instead of being killed by them, within the block (in the main thread).

    A nested block shares the outer block's request, so that a signal before torch was imported is not lost.
    """
    global _outer
    if _outer is not None or threading.current_thread() is not threading.main_thread():
        # Only the main thread may set handlers; elsewhere a new request is used. (Not `or`: an unset request is false.)
        yield StopRequest() if _outer is None else _outer
        return
    request = _outer = StopRequest()

    def note(number: int, frame: FrameType | None) -> None:
        request.signal_number = number

    # nohup ignores HUP, a shell's `&` INT; TERM is heard always, since submitit leaves it ignored until here.
    ignorable = (signal.SIGHUP, signal.SIGINT)
    heard = [number for number in SIGNALS if not (number in ignorable and ignored(number))]
    previous = {number: signal.signal(number, note) for number in heard}
    try:
        yield request
    finally:
        _outer = None
        for number, handler in previous.items():
            signal.signal(number, handler)
