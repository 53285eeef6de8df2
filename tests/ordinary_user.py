"""Commands run by an ordinary user, also where the tests run as root, whom no permission stops."""

import contextlib
import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

NOBODY, NAMELESS = 65534, 12345


def command(uid: int = NOBODY) -> list[str]:
    """What to put before a command; [] where the tests are run by an ordinary user already.

    The user may read everything, as the interpreter may be in root's home directory, but writes what is its own.
    """
    if os.getuid() != 0:
        return []
    if shutil.which("setpriv") is None:
        pytest.skip("NO setpriv HERE, so nothing is tested as an ordinary user")
    caps = [f"--{kind}-caps=-all,+dac_read_search" for kind in ("inh", "ambient")]
    return ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", *caps]


def closed(folder: Path) -> bool:
    """Whether a folder is below one that other users may not enter.

    The capability of `command` lets them read what is in it, but `os.access`, by which alembic looks for MLflow's
    migrations, asks for the user's own permissions.
    """
    return any(not parent.stat().st_mode & stat.S_IXOTH for parent in (folder, *folder.parents))


@contextlib.contextmanager
def reachable() -> Iterator[Path]:
    """An empty folder below folders that every user may enter: pytest's own are closed to others."""
    with tempfile.TemporaryDirectory(prefix="vlkd-test-") as name:
        folder = Path(name).resolve()
        folder.chmod(0o755)
        yield folder


def give(folder: Path, uid: int = NOBODY) -> None:
    """Make a folder and all in it that user's (where the tests run as root)."""
    if os.getuid() == 0:
        subprocess.run(["chown", "-R", f"{uid}:{uid}", str(folder)], check=True)
