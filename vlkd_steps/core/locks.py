"""Locks between processes on one machine; released by the system when their holder dies."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def exclusive(path: Path, *, wait: bool) -> Iterator[int | None]:
    """Hold a lock file during the block.

    Args:
        wait: until another holder is gone; otherwise give up at once.

    Yields:
        None when the lock is ours, else the process id of the holder (0 where it is unknown).
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="ascii") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            stream.seek(0)
            content = stream.read().strip()
            yield int(content) if content.isdigit() else 0
            return
        stream.truncate(0)
        stream.write(str(os.getpid()))
        stream.flush()
        yield None
