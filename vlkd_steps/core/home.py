"""A home directory for programs that need one, where the user has none or it is not writable.

In containers and on some clusters the user id has no name, or a home directory that does not exist: MLflow cannot even
be imported then, Snakemake ends in a traceback, other libraries make a folder named ``~``. They get a private folder
below VLKD_LOCAL or the system's temporary folder. Of a home directory that is there, but read-only, everything is
still read; what is written (Snakemake's and matplotlib's caches) goes to that folder.
"""

import os
import tempfile
from collections.abc import MutableMapping
from pathlib import Path

from vlkd_steps.core import file_system, files
from vlkd_steps.core.errors import UserError


def provide(environment: MutableMapping[str, str] = os.environ) -> None:
    """Set HOME if there is no home directory, or where caches go if it is not writable.

    If no private folder can be made either, nothing is changed.
    """
    home = known(environment)
    if home is not None and files.writable(home):
        return
    folder = private(environment)
    if folder is None:
        return
    if home is None or not home.is_dir():
        environment["HOME"] = str(folder)
    else:
        cache = environment.get("XDG_CACHE_HOME", home / ".cache")
        environment.setdefault("HF_HOME", f"{cache}/huggingface")  # models that the user has put there
        environment.setdefault("TORCH_HOME", f"{cache}/torch")
        environment.setdefault("XDG_CACHE_HOME", str(folder / "cache"))
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
