"""Locks between processes, on one node or several; the system releases them when their holder ends, even by a crash.

`exclusive` and `take` are POSIX locks, which network file systems keep across nodes. Closing *any* descriptor of a file
drops a process's POSIX locks on it, so a lock file is opened by nothing else. `mark_open` is a BSD lock, for a file
that its holder reads by other descriptors as well.
"""

import contextlib
import errno
import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from vlkd_steps.core.errors import UserError

POLL = 0.2
"""Seconds between two attempts at a lock that is waited for with a time limit."""
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)

_threads: dict[Path, threading.Lock] = {}
"""A POSIX lock belongs to the whole process: this one excludes its other threads."""


@contextlib.contextmanager
def exclusive(path: Path, *, wait: float | None = 0.0) -> Iterator[str | None]:
    """Hold a lock file during the block.

    Args:
        wait: seconds until an attempt is given up; None: wait for ever.

    Yields:
        None if the lock was acquired, else its holder, such as ``process 12 on node7``.

    Raises:
        UserError: the file system has no locks.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    until = time.monotonic() + (wait or 0.0)
    own = _threads.setdefault(path.absolute(), threading.Lock())
    if not own.acquire(timeout=-1 if wait is None else wait):
        yield _this_process()
        return
    with contextlib.ExitStack() as held:
        held.callback(own.release)
        stream = held.enter_context(path.open("a+", encoding="utf-8"))
        while not take(stream.fileno(), path, wait=wait is None):
            if time.monotonic() >= until:
                stream.seek(0)
                yield stream.read().strip() or "an unknown process"
                return
            time.sleep(POLL)
        stream.truncate(0)
        stream.write(f"{_this_process()}\n")
        stream.flush()
        yield None


@contextlib.contextmanager
def in_turn(path: Path, tell: Callable[[str], None]) -> Iterator[None]:
    """Hold a lock file during the block, however long another process has it first.

    Args:
        tell: called with the holder that is waited for.
    """
    with exclusive(path) as holder:
        if holder:
            tell(holder)
    with exclusive(path, wait=None):
        yield


def take(descriptor: int, path: Path, *, wait: bool) -> bool:
    """Lock the open file `path`; False where another process holds it.

    Raises:
        UserError: the file system has no locks.
    """
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            return False
        if error.errno in NO_LOCKS:
            raise UserError(
                f"{path} cannot be locked ({error.strerror}): its file system has no POSIX locks, which keep processes "
                "apart; have it mounted with them (NFS: without nolock; Lustre: flock), or put the project elsewhere"
            ) from error
        raise
    return True


def mark_open(stream: IO[bytes]) -> None:
    """Let `is_open` see that this process has the file open; any number of processes may."""
    with contextlib.suppress(OSError):  # a file system without locks: `is_open` answers None there
        fcntl.flock(stream, fcntl.LOCK_SH)


def is_open(path: Path) -> bool | None:
    """Whether some process has marked the file as open; None where the file system cannot say."""
    try:
        with path.open("r+b") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except (FileNotFoundError, PermissionError):  # a read-only link into DVC's cache: no process writes there
        return False
    except OSError:
        return None
    return False


def _this_process() -> str:
    return f"process {os.getpid()} on {os.uname().nodename}"
