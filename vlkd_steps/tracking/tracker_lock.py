"""The lock that allows one tracker per experiment and MLflow address, and the name of what was sent there."""

import hashlib
import os
from pathlib import Path

from vlkd_steps.core import file_system, files, layout
from vlkd_steps.core.errors import UserError
from vlkd_steps.tracking import address


def path(uri: str, experiment: str) -> Path:
    """The lock file, whichever way the address is written and whichever project its tracker is of.

    Raises:
        UserError: it belongs to another user.
    """
    lock = (_beside(uri) or _folder()) / f"{_name(uri, experiment)}.lock"
    if lock.exists() and not files.writable(lock):
        raise UserError(f"{lock} belongs to another user (a run as root?); make {lock.parent} yours, or remove it")
    return lock


def memory(uri: str, experiment: str) -> Path:
    """The file in which this project remembers what it has sent (`seen`)."""
    return _folder() / f"{_name(uri, experiment)}.json"


def _name(uri: str, experiment: str) -> str:
    """A name by address. A database on a machine's own disk is a different one on every machine, so its name is too."""
    database = address.database(uri)
    machine = f"{os.uname().nodename} " if database is not None and not file_system.of(database).shared else ""
    where = uri.rstrip("/") if database is None else database.resolve()
    return f"track-{hashlib.sha256(f'{machine}{where} {experiment}'.encode()).hexdigest()[:12]}"


def _beside(uri: str) -> Path | None:
    """A folder beside a sqlite file that other projects may use; None: one in the project's root, or not writable."""
    database = address.database(uri)
    if database is None or database.resolve().parent == Path.cwd():
        return None
    folder = database.resolve().parent / layout.MACHINE
    return folder if files.writable(folder if folder.exists() else folder.parent) else None


def _folder() -> Path:
    """The folder of the locks: in the project or, if that is not writable, on this machine's own disk."""
    if files.writable(layout.MACHINE if layout.MACHINE.exists() else Path.cwd()):
        return layout.MACHINE
    folder = file_system.node_local(Path.cwd())
    file_system.make_private(folder)
    return folder
