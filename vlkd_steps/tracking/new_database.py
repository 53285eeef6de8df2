"""Fills a new sqlite file without waiting for the disk at every commit, of which MLflow makes eight for a run.

If the machine loses power meanwhile, the file may be damaged: it then has nothing that the journals lack, and `track`
says how to make it again. Commits to a file that existed before, which may hold a user's notes and registered models,
wait as usual.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def filled(path: Path) -> Iterator[None]:
    """Within the block, commits of this process to the sqlite file `path` do not wait; at its end all are on disk."""
    from sqlalchemy import event
    from sqlalchemy.pool import Pool

    def to(level: str) -> Any:
        def set_level(connection: Any, *_: Any) -> None:
            opened = [Path(file) for _, _, file in connection.execute("PRAGMA database_list") if file]
            if path.resolve() in opened:
                connection.execute(f"PRAGMA synchronous = {level}")

        return set_level

    listeners = {"checkout": to("OFF"), "checkin": to("FULL")}
    for name, listener in listeners.items():
        event.listen(Pool, name, listener)
    try:
        yield
    finally:
        for name, listener in listeners.items():
            event.remove(Pool, name, listener)
        if path.exists():
            with path.open("rb") as file:
                os.fsync(file.fileno())
