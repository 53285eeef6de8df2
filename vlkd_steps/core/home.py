"""A home directory for libraries that cannot do without one, where the user has none, or none that can be written to.

Containers and some clusters run a user id that has no name, and without HOME nobody then knows a home directory: MLflow
cannot even be imported, others make a folder named ``~`` here. matplotlib keeps a cache of fonts in the home directory,
and says at length when it cannot. Both get a private folder below VLKD_LOCAL or the system's temporary folder.
"""

import os
import tempfile
from collections.abc import MutableMapping
from pathlib import Path

from vlkd_steps.core import files


def provide(environment: MutableMapping[str, str] = os.environ) -> None:
    """Set HOME where nobody knows one, and MPLCONFIGDIR where the home directory cannot be written to.

    Where no private folder can be had either, all stays as it is.
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
    """The home directory by HOME or, without it, by the user's name; None where nobody knows."""
    if environment.get("HOME"):
        return Path(environment["HOME"])
    try:
        import pwd

        return Path(pwd.getpwuid(os.getuid()).pw_dir)
    except (ImportError, KeyError):
        return None


def private(environment: MutableMapping[str, str] = os.environ) -> Path | None:
    """A folder of this user alone: temporary folders are everybody's, so one that another made is not taken."""
    try:
        base = Path(os.path.expandvars(environment.get("VLKD_LOCAL") or tempfile.gettempdir()))
        folder = base / f"vlkd-home-{os.getuid()}"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.lstat()
    except OSError:
        return None
    mine = found.st_uid == os.getuid() and not found.st_mode & 0o022 and folder.is_dir() and not folder.is_symlink()
    return folder if mine else None
