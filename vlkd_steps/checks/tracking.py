"""Where runs are tracked: MLflow's address, whether it answers, and what its file lies on. Never imports mlflow."""

import contextlib
import os
import sqlite3
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

from vlkd_steps import file_system
from vlkd_steps.checks.finding import Finding, fail, ok, warn
from vlkd_steps.errors import UserError
from vlkd_steps.tracking import mlflow_sync

LATER = "nothing is lost, `python -m vlkd_steps.track` catches up from the journals"


def check(seconds: float) -> list[Finding]:
    """A silent MLflow stops no run, so that only an address it cannot have is a failure."""
    given = os.environ.get("MLFLOW_TRACKING_URI")
    project = Path.cwd()
    uri = given or mlflow_sync.default_uri(project)
    try:
        mlflow_sync.check_uri(uri)
    except UserError as mistake:
        return [fail("address", str(mistake), "")]
    if (path := mlflow_sync.database(uri)) is not None:
        found = [*database(path)]
        if not given and uri != mlflow_sync.DEFAULT_URI:
            why = f"{path}, since this folder lies on {file_system.of(project).kind}; rebuilt from the journals if lost"
            found.insert(0, ok("address", why))
        return found
    return [server(uri, seconds)]


def database(path: Path) -> list[Finding]:
    """A sqlite file, read without a change."""
    found = []
    lies_on = file_system.of(path)
    if lies_on.shared:
        remedy = "unset MLFLOW_TRACKING_URI, or name a file on this machine's own disk"
        found.append(warn("file system", f"{path} lies on {lies_on.kind}, where sqlite is not safe", remedy))
    if not path.exists():
        folder = next(parent for parent in path.absolute().parents if parent.exists())
        if not os.access(folder, os.W_OK):
            return [*found, warn("database", f"{path} is not there, and {folder} is not writable", "see VLKD_LOCAL")]
        return [*found, ok("database", f"{path} ({lies_on.kind}) will be made by the first run")]
    try:
        with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=1)) as opened:
            (runs,) = opened.execute("SELECT count(*) FROM runs WHERE lifecycle_stage = 'active'").fetchone()
    except sqlite3.Error as error:
        remedy = f"move {path} away if it is damaged; track makes it again from the journals"
        return [*found, warn("database", f"{path} cannot be read: {error}", remedy)]
    return [*found, ok("database", f"{path} ({lies_on.kind}), {runs} runs")]


def server(uri: str, seconds: float) -> Finding:
    """A tracking server, asked for its health."""
    parts = urlsplit(uri)
    where = f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}"  # never a password
    if parts.scheme not in ("http", "https"):
        return ok("address", f"{where}, not asked")
    try:
        with urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=seconds):
            return ok("address", f"{where} answers")
    except urllib.error.HTTPError as error:
        if error.code == 403:
            remedy = "set MLFLOW_SERVER_ALLOWED_HOSTS where the server runs"
            return warn("address", f"{where} answers 403, as it does for host names it does not know", remedy)
        return warn("address", f"{where} answers {error.code}", f"check the address; {LATER}")
    except (OSError, ValueError) as error:
        return warn("address", f"{where} does not answer ({error})", f"start the server; {LATER}")
