"""The lock that allows one tracker per experiment and MLflow address."""

import hashlib
import os
from pathlib import Path

from vlkd_steps.core import file_system, files, layout
from vlkd_steps.core.errors import UserError
from vlkd_steps.tracking import address


def path(uri: str, experiment: str) -> Path:
    """The lock file. A database on a machine's own disk is a different one on every machine, so its lock is too.

    Raises:
        UserError: it belongs to another user.
    """
    database = address.database(uri)
    machine = f"{os.uname().nodename} " if database is not None and not file_system.of(database).shared else ""
    lock = _folder() / f"track-{hashlib.sha256(f'{machine}{uri} {experiment}'.encode()).hexdigest()[:12]}.lock"
    if lock.exists() and not files.writable(lock):
        raise UserError(f"{lock} belongs to another user (a run as root?); make {lock.parent} yours, or remove it")
    return lock


def _folder() -> Path:
    """The folder of the locks: in the project or, if that is not writable, on this machine's own disk."""
    if files.writable(layout.MACHINE if layout.MACHINE.exists() else Path.cwd()):
        return layout.MACHINE
    folder = file_system.node_local(Path.cwd())
    file_system.make_private(folder)
    return folder
