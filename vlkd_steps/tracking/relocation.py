"""Makes the mlflow.db of a copied or moved project refer to the artifacts beside it instead of the original ones.

MLflow stores the artifacts' locations as absolute paths, per experiment and per run. In a copy they would point into
the original, so that the copy would write there. Nothing else in the file depends on its path: rewriting these two
columns before MLflow opens it preserves runs, their ids and their artifacts, which rebuilding it would not.
"""

import contextlib
import sqlite3
from pathlib import Path
from urllib.parse import unquote, urlsplit

ARTIFACTS = "mlartifacts"
FOLDERS = (ARTIFACTS, "mlruns")  # the second is MLflow's default, for experiments made by a user
COLUMNS = (("experiments", "experiment_id", "artifact_location"), ("runs", "run_uuid", "artifact_uri"))


def location(database: Path, experiment: str) -> Path:
    """The folder of an experiment's artifacts: beside the sqlite file."""
    return database.absolute().parent / ARTIFACTS / experiment


def relocate(database: Path) -> list[Path]:
    """Make a sqlite file refer to the artifacts beside it, in one transaction.

    Returns:
        The folders that it referred to before; [] if nothing was changed.

    Raises:
        sqlite3.Error: it cannot be read or written.
    """
    here = database.absolute().parent
    if not database.is_file() or not database.stat().st_size:
        return []
    with contextlib.closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=rw", uri=True, timeout=20)) as opened:
        opened.isolation_level = None
        if not _former(opened, here):
            return []
        opened.execute("BEGIN IMMEDIATE")
        former = _former(opened, here)  # checked again: another process may have been faster
        for table, key, column in COLUMNS:
            for identity, value in opened.execute(f"SELECT {key}, {column} FROM {table}").fetchall():
                if (new := _moved(value, former, here)) is not None:
                    opened.execute(f"UPDATE {table} SET {column} = ? WHERE {key} = ?", (new, identity))
        opened.execute("COMMIT")
    return former


def local_path(uri: str | None) -> Path | None:
    """The path behind an artifact address on this machine; None for any other."""
    parts = urlsplit(uri or "")
    if parts.scheme == "file" and parts.netloc in ("", "localhost"):
        return Path(unquote(parts.path))
    return Path(uri) if uri and uri.startswith("/") else None


def _former(opened: sqlite3.Connection, here: Path) -> list[Path]:
    """Other folders in which our experiments of this file were made."""
    with_table = opened.execute("SELECT 1 FROM sqlite_master WHERE name = 'experiments'").fetchone()
    rows = opened.execute("SELECT name, artifact_location FROM experiments").fetchall() if with_table else []
    found = []
    for name, value in rows:
        path = local_path(value)
        if path is not None and path.parts[-2:] == (ARTIFACTS, name):
            folder = path.parent.parent
            if folder.resolve() != here.resolve() and folder not in found:
                found.append(folder)
    return found


def _moved(value: str | None, former: list[Path], here: Path) -> str | None:
    """The address below `here` that replaces one below a former folder; None: unchanged."""
    path = local_path(value)
    if path is None or value is None:
        return None
    for folder in former:
        for name in FOLDERS:
            if path.is_relative_to(folder / name):
                new = here / path.relative_to(folder)
                return new.as_uri() if value.startswith("file:") else str(new)
    return None
