"""Errors of MLflow: which mean that it cannot be reached now, which a user has to mend, and their reasons in a line."""

import contextlib
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from vlkd_steps.core.errors import UserError
from vlkd_steps.core.redaction import redacted
from vlkd_steps.tracking import mlflow_environment, schema
from vlkd_steps.tracking.address import database

REFUSED = "INVALID_PARAMETER_VALUE"  # MLflow's error code for data that it refuses, and for deleted runs
DENIED = ("PERMISSION_DENIED", "CUSTOMER_UNAUTHORIZED", "UNAUTHENTICATED")
ACCESS = (
    "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN, to an account that may write "
    "there (an MLflow server also denies a host name that its MLFLOW_SERVER_ALLOWED_HOSTS lacks)"
)
REASON_LENGTH = 140  # in a list of runs


class Outage(Exception):
    """MLflow does not answer. Nothing is lost, since the journals have everything."""


@contextlib.contextmanager
def outages(uri: str) -> Iterator[None]:
    """Raise `Outage` for every error that means that MLflow cannot be reached now, `UserError` for one that stays."""
    mlflow_environment.set_defaults()
    import requests
    import sqlalchemy.exc
    from mlflow.exceptions import MlflowException

    try:
        yield
    except (
        MlflowException,
        requests.RequestException,
        sqlalchemy.exc.SQLAlchemyError,
        sqlite3.Error,
        OSError,
    ) as error:
        code = getattr(error, "error_code", None)
        if code in DENIED:
            raise UserError(f"MLflow at {redacted(uri)} denies access: {reason(error)}; {ACCESS}") from error
        if code == REFUSED:
            raise UserError(f"MLflow at {redacted(uri)} refuses the request: {reason(error)}") from error
        if (path := database(uri)) is not None and (mistake := _lasting(path, str(error))) is not None:
            raise UserError(mistake) from error
        raise Outage(f"MLflow at {redacted(uri)} does not answer: {reason(error)}") from error


def reason(error: Exception) -> str:
    """The first line of an error, without passwords; for a web page, its title."""
    text = redacted(str(error).strip()) or type(error).__name__
    if re.search(r"<!doctype html|<html", text, flags=re.IGNORECASE):
        title = re.search(r"<title[^>]*>\s*([^<]*?)\s*<", text, flags=re.IGNORECASE)
        page = f"a web page came back{f' ({title[1][:80]!r})' if title else ''}"
        return f"{page}, so this address is that of a login page or another program"
    return text.splitlines()[0][:300]


def cut(text: str) -> str:
    """A reason for a list of runs: the whole of it was logged with its run."""
    return text if len(text) <= REASON_LENGTH else f"{text[:REASON_LENGTH].rstrip()} ..."


def _lasting(path: Path, text: str) -> str | None:
    """A fault of a sqlite file that a retry cannot cure; None for temporary ones, such as a full disk."""
    if any(words in text for words in ("malformed", "not a database", "no such table", "no such column")):
        damaged = schema.Fault(f"{path} is damaged ({text.splitlines()[0][:200]})")
        return f"{damaged.what}; {damaged.remedy(path)}"
    if any(words in text for words in ("readonly database", "unable to open", "Permission denied", "Read-only file")):
        return not_ours(path, f" ({text.splitlines()[0][:200]})")
    return None


def not_ours(path: Path, reason: str = "") -> str:
    return (
        f"{path} or a file beside it cannot be written to by this user{reason}; make it yours (a run as root may "
        "have left it), or name another file: --tracking-uri sqlite:///FILE.db"
    )
