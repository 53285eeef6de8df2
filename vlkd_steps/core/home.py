"""A home directory for libraries that need one, where the user has none or it is not writable.

In containers and on some clusters the user id has no name, so without HOME no home directory is known: MLflow cannot
even be imported, other libraries make a folder named ``~``. matplotlib keeps its font cache in the home directory, and
prints long warnings if it cannot. Both get a private folder below VLKD_LOCAL or the system's temporary folder.
"""

import os
import tempfile
from collections.abc import MutableMapping
from pathlib import Path

from vlkd_steps.core import file_system, files
from vlkd_steps.core.errors import UserError


def provide(environment: MutableMapping[str, str] = os.environ) -> None:
    """Set HOME if there is no home directory, and MPLCONFIGDIR if it is not writable.

    If no private folder can be made either, nothing is changed.
    """
    home = known(environment)
    writable = home is not None and files.writable(home)
    if writable or (home is not None and "MPLCONFIGDIR" in environment):
        return
    folder = private(environment)
    if folder is None:
        return
    if home is None:
        environment["HOME"] = str(folder)
    environment.setdefault("MPLCONFIGDIR", str(folder / "matplotlib"))


def known(environment: MutableMapping[str, str] = os.environ) -> Path | None:
    """The home directory by HOME or, without it, by the user's name; None if unknown."""
    if environment.get("HOME"):
        return Path(environment["HOME"])
    try:
        import pwd

        return Path(pwd.getpwuid(os.getuid()).pw_dir)
    except (ImportError, KeyError):
        return None


def private(environment: MutableMapping[str, str] = os.environ) -> Path | None:
    """A folder of this user only; one made by another user in the shared temporary folder is not used."""
    try:
        base = Path(os.path.expandvars(environment.get("VLKD_LOCAL") or tempfile.gettempdir()))
        folder = base / f"vlkd-home-{os.getuid()}"
        if folder.exists() and folder.lstat().st_mode & 0o022:  # others may have put files there
            return None
        file_system.make_own(folder)
    except (OSError, UserError):
        return None
    return folder
