"""Temporary files that killed processes have left (`files.atomic`)."""

import contextlib
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

_NAME = re.compile(r"\.tmp-(?P<host>.+?)-(?P<pid>[0-9]+)-[a-z0-9_]{8}\..*")
FOREIGN_AGE = 24 * 3600
"""Seconds after which a file of another machine, whose processes cannot be seen from here, counts as left behind."""


def remove(folder: Path) -> int:
    """Remove the temporary files at and below `folder` whose writers have ended; how many it removed."""
    removed = 0
    for path in list(_left(folder)):
        with contextlib.suppress(OSError):  # gone meanwhile; another user's folder; a read-only file system
            path.unlink()
            removed += 1
    return removed


def _left(folder: Path) -> Iterator[Path]:
    for parent, _, names in os.walk(folder):
        for name in names:
            if (written_by := _NAME.fullmatch(name)) and _ended(Path(parent, name), written_by):
                yield Path(parent, name)


def _ended(path: Path, written_by: "re.Match[str]") -> bool:
    """Whether the process that was writing the file has ended, as far as this machine can tell."""
    try:
        if written_by["host"] != os.uname().nodename:
            return time.time() - path.stat().st_mtime > FOREIGN_AGE
        os.kill(int(written_by["pid"]), 0)
    except ProcessLookupError:
        return True
    except (FileNotFoundError, PermissionError):  # gone meanwhile; another user's process
        return False
    return False
