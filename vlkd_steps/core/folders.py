"""What is below a folder of the user's. `Path.glob` and `os.walk` leave out folders that may not be read, silently."""

import os
import shlex
from collections.abc import Iterator
from pathlib import Path

from vlkd_steps.core.errors import UserError

LEAVE_OUT = "leave it out by `files` of the source"


def walk(folder: Path, otherwise: str = "move it away") -> Iterator[tuple[Path, list[str], list[str]]]:
    """As `os.walk`: of each folder its path, the names of its folders, of which some may be taken out, and its files.

    Args:
        otherwise: what to do where a folder shall not be read.

    Raises:
        UserError: a folder that may not be read.
    """

    def refuse(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            raise _unreadable(Path(error.filename), error, otherwise) from error

    for above, names, files in os.walk(folder, onerror=refuse):
        yield Path(above), names, files


def files_below(folder: Path) -> list[Path]:
    """The files at any depth, sorted, without those behind links to folders; errors as for `walk`."""
    return sorted(
        path for above, _, names in walk(folder) for path in (above / name for name in names) if is_file(path)
    )


def is_file(path: Path, otherwise: str = "move it away") -> bool:
    """As `Path.is_file`.

    Raises:
        UserError: it is in a folder whose files may be listed only.
    """
    try:
        return path.is_file()
    except PermissionError as error:
        raise _unreadable(path.parent, error, otherwise) from error


def _unreadable(folder: Path, error: OSError, otherwise: str) -> UserError:
    allow = f"chmod -R u+rX {shlex.quote(str(folder))}"
    return UserError(f"{folder} cannot be read ({error.strerror}); allow it: {allow}, or {otherwise}")
