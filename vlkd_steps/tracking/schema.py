"""Whether the installed MLflow can use a sqlite file: compares its alembic revision with MLflow's newest.

MLflow refuses a file of another revision, and it silently adds its tables to another program's file. Never imports
mlflow: the revisions are read from the migration scripts of the installed package. A file that another process is
creating passes through every older revision within seconds, so only a file at rest is checked.
"""

import contextlib
import importlib.metadata
import importlib.util
import re
import sqlite3
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from vlkd_steps.core import files
from vlkd_steps.core.errors import UserError
from vlkd_steps.tracking import address

REBUILD, UPGRADE = "vlkd track --rebuild", "vlkd track --upgrade"
EXPERIMENTS, REVISION = "experiments", "alembic_version"  # tables
AT_REST = 5.0  # seconds since the last write; MLflow makes its schema in steps of less than a second
LONGEST_WAIT = 60.0


@dataclass(frozen=True)
class Fault:
    """Why MLflow cannot use a file.

    Attributes:
        what: a clause that names the file.
        upgrade: MLflow's command can upgrade it and keep its content.
        at_rest: no process seems to be creating it.
    """

    what: str
    upgrade: bool = False
    at_rest: bool = True

    def remedy(self, path: Path) -> str:
        """What to do about it; the journals are the source of truth."""
        named = "" if path == address.database(address.DEFAULT_URI) else f" --tracking-uri sqlite:///{path}"
        upgrade = f"`{UPGRADE}{named}` backs the file up and upgrades it by `mlflow db upgrade`, which keeps edits "
        upgrade += "made in MLflow, or "
        return (
            f"the journals under runs/ have every run: {upgrade if self.upgrade else ''}`{REBUILD}{named}` moves the "
            "file aside and builds it again from them"
        )


def check(path: Path) -> None:
    """Wait for a file that is being created, and refuse one that the installed MLflow cannot use.

    Raises:
        UserError: with both revisions and the remedy.
    """
    until = time.monotonic() + LONGEST_WAIT
    while (found := fault(path)) is not None and not found.at_rest and time.monotonic() < until:
        time.sleep(0.3)
    if found is not None:
        raise UserError(f"{found.what}; {found.remedy(path)}")


def fault(path: Path) -> Fault | None:
    """What is wrong with a file; None if it is valid, missing or empty: MLflow creates those."""
    if not path.exists() or (path.is_file() and path.stat().st_size == 0):
        return None
    if not path.is_file():
        return Fault(f"{path} is no file")
    try:
        tables, revisions, used = _read(path)
    except sqlite3.OperationalError as error:
        # Locked, or left by a killed writer: sqlite repairs that when MLflow opens it, but not an unreadable file.
        return Fault(f"{path} cannot be opened ({error})") if "unable to open" in str(error) else None
    except sqlite3.DatabaseError as error:
        return Fault(f"{path} is no sqlite file, or a damaged one ({error})")
    known = revisions_of_mlflow()
    newest = head(known)
    if not tables or newest is None or revisions == [newest]:
        return None
    wants = f"the installed MLflow {importlib.metadata.version('mlflow')} wants {newest}"
    at_rest = abs(time.time() - path.stat().st_mtime) > AT_REST
    if not used and {EXPERIMENTS, REVISION} & set(tables):
        what = "is incomplete: MLflow was interrupted while it made the file, and no run was ever in it; remove it, or"
        return Fault(f"{path} {what} make it again", at_rest=at_rest)
    if not revisions:
        return Fault(f"{path} has no MLflow schema, but other tables ({_some(tables)}); {wants}", at_rest=at_rest)
    older = all(each in known for each in revisions)
    kind = "an older" if older else "a newer or foreign"
    return Fault(f"{path} has {kind} schema ({', '.join(revisions)}), and {wants}", upgrade=older, at_rest=at_rest)


def upgraded_copy(path: Path) -> Path:
    """A copy of an older file beside it, upgraded by MLflow's own command.

    Raises:
        UserError: MLflow cannot upgrade it, or there is no space; the copy is removed.
    """
    copy = path.with_name(f"{files.temporary_prefix()}upgrade.{path.name}")
    try:
        with (
            contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=20)) as source,
            contextlib.closing(sqlite3.connect(copy)) as target,
        ):
            source.backup(target)
        command = [sys.executable, "-m", "mlflow", "db", "upgrade", f"sqlite:///{copy}"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode or fault(copy) is not None:
            said = (done.stderr.strip() or "no message").splitlines()[-1]
            raise UserError(f"MLflow cannot upgrade {path} ({said}); {Fault('').remedy(path)}")
    except (sqlite3.Error, OSError, UserError) as error:
        for end in ("", *address.SIDE_FILES):
            Path(f"{copy}{end}").unlink(missing_ok=True)
        if isinstance(error, UserError):
            raise
        raise UserError(f"{path} cannot be copied ({error}); {Fault('').remedy(path)}") from error
    return copy


def revisions_of_mlflow() -> dict[str, set[str]]:
    """The installed MLflow's revisions, each with those it follows; {} if its scripts are not found."""
    spec = importlib.util.find_spec("mlflow")  # imports nothing, because mlflow is a top-level package
    found: dict[str, set[str]] = {}
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for script in (Path(folder) / "store" / "db_migrations" / "versions").glob("*.py"):
            text = script.read_text(encoding="utf-8")
            own = re.search(r"^revision\b[^=\n]*=\s*[\"'](\w+)", text, flags=re.MULTILINE)
            before = re.search(r"^down_revision\b[^=\n]*=\s*(\([^)]*\)|.*)", text, flags=re.MULTILINE)
            if own:
                found[own[1]] = set(re.findall(r"[\"'](\w+)[\"']", before[1])) if before else set()
    return found


def head(revisions: dict[str, set[str]]) -> str | None:
    """The one revision that no other follows; None: there is not exactly one."""
    last = set(revisions).difference(*revisions.values())
    return last.pop() if len(last) == 1 else None


def _read(path: Path) -> tuple[list[str], list[str], bool]:
    """The tables of a sqlite file, its alembic revisions, and whether it has any experiment.

    MLflow makes its default experiment last, when all tables exist.
    """
    with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5)) as opened:
        query = "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"
        tables = [name for (name,) in opened.execute(query)]
        used = EXPERIMENTS in tables and opened.execute(f"SELECT 1 FROM {EXPERIMENTS}").fetchone() is not None
        if REVISION not in tables:
            return tables, [], used
        return tables, [value for (value,) in opened.execute(f"SELECT version_num FROM {REVISION}")], used


def _some(names: list[str]) -> str:
    return ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
