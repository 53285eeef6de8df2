"""Folders that several test files start from, made once for all test processes."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock


def made_once(path: str, factory: pytest.TempPathFactory, make: Callable[[Path], None]) -> Path:
    """The folder, as `FOLDER/NAME`, that the first test process makes and the others wait for. Work on a copy."""
    own = factory.getbasetemp()
    made = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / path
    making = made.with_suffix(".unfinished")
    made.parent.mkdir(exist_ok=True)
    with FileLock(made.parent / "lock"):
        if not made.is_dir():
            make(making)
            making.rename(made)
    return made
