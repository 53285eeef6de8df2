"""Where runs are tracked: MLflow's address, whether it answers, its file's file system. Never imports mlflow."""

import base64
import contextlib
import os
import re
import sqlite3
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from vlkd_steps.checks.check_result import CheckResult, fail, ok, warn
from vlkd_steps.core import file_system, files
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.redaction import redacted
from vlkd_steps.tracking import address, schema
from vlkd_steps.tracking.records import MEAN_OVER

LATER = "nothing is lost, `vlkd track` catches up from the journals"
HEALTHY = "OK"  # the whole answer of MLflow's /health


def check(seconds: float) -> list[CheckResult]:
    """A silent MLflow stops no run, so only an invalid address is a failure."""
    given = address.given()
    project = Path.cwd()
    try:
        if given is not None:
            address.check_uri(given)
        uri = given or address.default_uri(project)
    except UserError as mistake:
        return [fail("address", str(mistake), "")]
    if (path := address.database(uri)) is not None:
        found = [*database(path)]
        if not given and uri != address.DEFAULT_URI:
            why = f"{path}, since {address.why_not_here(project)}; rebuilt from the journals if lost"
            found.insert(0, ok("address", why))
        return found
    return [server(uri, seconds)]


def database(path: Path) -> list[CheckResult]:
    """A sqlite file, read without a change."""
    found = []
    lies_on = file_system.of(path)
    if lies_on.shared:
        remedy = "unset MLFLOW_TRACKING_URI, or name a file on this machine's local disk"
        found.append(warn("file system", f"{path} is on {lies_on.kind}, where sqlite is not safe", remedy))
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    if not files.writable(folder) or (path.exists() and not files.writable(path)):
        remedy = "name another file by MLFLOW_TRACKING_URI, or another folder by VLKD_LOCAL"
        return [*found, warn("database", f"{path} or its folder cannot be written to by this user", remedy)]
    if not path.exists():
        return [*found, ok("database", f"{path} ({lies_on.kind}) will be made by the first run")]
    if (fault := schema.fault(path)) is not None:
        if not fault.at_rest:
            return [*found, ok("database", f"{path} was written a moment ago: MLflow seems to be making it")]
        return [*found, warn("database", fault.what, fault.remedy(path))]
    return [*found, runs_in(path)]


RUNS = """SELECT count(*) FROM runs WHERE lifecycle_stage = 'active'
    AND run_uuid NOT IN (SELECT run_uuid FROM tags WHERE key = ?)"""
"""Counts the runs, without the parents that stand for several of them."""


def runs_in(path: Path) -> CheckResult:
    """How many runs a file of the right schema holds."""
    kind = file_system.of(path).kind
    try:
        with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=1)) as opened:
            if not opened.execute("SELECT 1 FROM sqlite_master").fetchone():
                return ok("database", f"{path} ({kind}) is empty and will be filled by the first run")
            (runs,) = opened.execute(RUNS, (MEAN_OVER,)).fetchone()
    except sqlite3.Error as error:
        return warn("database", f"{path} cannot be read: {error}", schema.Fault("").remedy(path))
    return ok("database", f"{path} ({kind}), {runs} runs")


def server(uri: str, seconds: float) -> CheckResult:
    """A tracking server: a request to its /health."""
    parts = urlsplit(uri)
    port = f":{parts.port}" if parts.port else ""
    where = f"{parts.scheme}://{parts.hostname}{port}"  # never a password
    if parts.scheme not in address.SERVERS:
        return ok("address", f"{where}, not checked")
    request = urllib.request.Request(f"{where}{parts.path.rstrip('/')}/health", headers=_authorization(parts))
    try:
        with urllib.request.urlopen(request, timeout=seconds) as response:
            body = response.read(4096).decode("utf-8", "replace").strip()
            return _answer(where, request.full_url, response.url, body)
    except urllib.error.HTTPError as error:
        if error.code == 403:
            remedy = "set MLFLOW_SERVER_ALLOWED_HOSTS where the server runs"
            return warn("address", f"{where} answers 403, as MLflow does for host names it does not allow", remedy)
        return warn("address", f"{where} answers {error.code}", f"check the address; {LATER}")
    except (OSError, ValueError) as error:
        return warn("address", f"{where} does not answer ({redacted(str(error))})", f"start it; {LATER}")


def _answer(where: str, wanted: str, got: str, body: str) -> CheckResult:
    """MLflow's "OK", or what else came back: a login page, or that of another program."""
    if body == HEALTHY:
        return ok("address", f"{where} answers")
    title = re.search(r"<title[^>]*>\s*([^<]*?)\s*<", body, flags=re.IGNORECASE)
    answer = f"the page {title[1][:80]!r}" if title else f"{body[:60]!r}"
    sent = f" and redirects to {redacted(got)}" if got != wanted else ""
    remedy = f"if that is a login, give an address (or MLFLOW_TRACKING_TOKEN) that gets past it; {LATER}"
    return warn("address", f"{where} answers with {answer}{sent}, not as MLflow does", remedy)


def _authorization(parts: SplitResult) -> dict[str, str]:
    """As MLflow's client sends it: the user and password in the address, or those of the environment."""
    user = unquote(parts.username or "") or os.environ.get("MLFLOW_TRACKING_USERNAME", "")
    password = unquote(parts.password or "") or os.environ.get("MLFLOW_TRACKING_PASSWORD", "")
    if user:
        return {"Authorization": f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"}
    token = os.environ.get("MLFLOW_TRACKING_TOKEN")
    return {"Authorization": f"Bearer {token}"} if token else {}
