"""A sqlite file moved aside: renamed beside itself, never deleted, never over an older one."""

from pathlib import Path

SIDE_FILES = ("-journal", "-wal", "-shm")  # sqlite reads them as the file's own: they move with it


def set_aside(path: Path) -> Path | None:
    """Rename ``mlflow.db`` to ``mlflow.db.backup-1``, or the next number that is free; None where there is none.

    Raises:
        OSError: it cannot be renamed.
    """
    if not path.exists():
        return None
    number = 1
    while any(Path(f"{path}.backup-{number}{end}").exists() for end in ("", *SIDE_FILES)):
        number += 1
    backup = Path(f"{path}.backup-{number}")
    for end in (*SIDE_FILES, ""):  # a side file left behind would be taken for the new file's
        if (each := Path(f"{path}{end}")).exists():
            each.rename(f"{backup}{end}")
    return backup
