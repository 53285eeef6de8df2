"""MLflow's address: which one applies, and whether MLflow accepts it. Never imports mlflow.

sqlite:///FILE.db              a file, relative to the project or (with a fourth slash) absolute
http://HOST:PORT               a tracking server; https too
postgresql://, mysql://, mssql://  a database server; its Python driver has to be installed
"""

import importlib
import os
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from vlkd_steps.core import file_system, files
from vlkd_steps.core.did_you_mean import nearest
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.redaction import redacted
from vlkd_steps.core.step import log

DEFAULT_URI = "sqlite:///mlflow.db"
SERVERS = ("http", "https")
DATABASES = {
    "postgresql": "install it: pip install psycopg2-binary",
    "mysql": "install one (pip install pymysql) and write mysql+pymysql://",
    "mssql": "install one (pip install pymssql) and write mssql+pymssql://",
}


def given(argument: str | None = None) -> str | None:
    """The user's address: the argument, or MLFLOW_TRACKING_URI; None: both are blank."""
    named = argument or os.environ.get("MLFLOW_TRACKING_URI") or ""
    return named.strip() or None


def tracking_uri(argument: str | None = None) -> str:
    """The address `given`, or `default_uri`, whose folder is made if needed.

    A user and password in a server's address are moved to MLflow's environment variables, because it prints addresses.

    Raises:
        UserError: MLflow does not accept it, or no node-local folder can be made.
    """
    if (uri := given(argument)) is not None:
        check_uri(uri)
        return _without_credentials(uri)
    project = Path.cwd()
    uri = default_uri(project)
    if (path := database(uri)) is not None and uri != DEFAULT_URI:
        file_system.make_private(path.parent)
        log.info(
            "%s: MLflow's file is %s on this machine, rebuilt from the journals wherever it is missing "
            "(set MLFLOW_TRACKING_URI to use another)",
            why_not_here(project), path,
        )  # fmt: skip
    return uri


def _without_credentials(uri: str) -> str:
    parts = urlsplit(uri)
    user, at, host = parts.netloc.rpartition("@")
    if parts.scheme.lower() not in SERVERS or not at:
        return uri
    name, _, password = user.partition(":")
    clean = urlunsplit(parts._replace(netloc=host))
    os.environ |= {"MLFLOW_TRACKING_USERNAME": unquote(name), "MLFLOW_TRACKING_PASSWORD": unquote(password)}
    if "MLFLOW_TRACKING_URI" in os.environ:
        os.environ["MLFLOW_TRACKING_URI"] = clean
    return clean


def default_uri(project: Path) -> str:
    """The sqlite file in the project's root or, if that is not possible, one on this machine's local disk."""
    if why_not_here(project) is None:
        return DEFAULT_URI
    return f"sqlite:///{file_system.node_local(project) / 'mlflow.db'}"


def why_not_here(project: Path) -> str | None:
    """Why a sqlite file cannot be in the project's root; None: it can."""
    lies_on = file_system.of(project)
    if lies_on.shared:
        return f"this folder is on {lies_on.kind}, where sqlite is not safe"
    return None if files.writable(project) else "this folder cannot be written to"


def database(uri: str) -> Path | None:
    """The file behind a sqlite address; None for any other address."""
    return Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else None


_FOLDERS = "MLflow does not write to folders any more", "write sqlite:///FILE.db or http://HOST:PORT"


def check_uri(uri: str) -> None:
    """Refuse what MLflow does not accept: raises UserError with the nearest valid address."""
    try:
        mistake = _mistake(uri)
    except ValueError:  # such as an unclosed bracket; urlsplit's message may quote a password
        mistake = "it cannot be read as an address", "write http://localhost:5000"
    if mistake is not None:
        what, remedy = mistake
        raise UserError(
            f"the tracking address (--tracking-uri or MLFLOW_TRACKING_URI) is {redacted(uri)!r}: {redacted(what)}; "
            f"{redacted(remedy)}, or leave it out: {DEFAULT_URI}"
        )


def _mistake(uri: str) -> tuple[str, str] | None:
    """What is wrong, and what to do."""
    if re.search(r"\s", uri) and not uri.startswith("sqlite:///"):
        return "it contains a blank", "write http://localhost:5000"
    scheme, found, rest = uri.partition("://")
    if not found:
        return _without_scheme(uri)
    engine = scheme.lower().partition("+")[0]
    if engine == "file":
        return _FOLDERS
    if scheme == "sqlite":
        return _file(rest)
    if engine in SERVERS:
        return _server(uri)
    if engine in DATABASES:
        return _driver(uri, engine)
    known = nearest(scheme, ["sqlite", *SERVERS, *DATABASES])
    return f"MLflow knows no {scheme}:// ({known})", "write http://HOST:PORT or sqlite:///FILE.db"


def _without_scheme(uri: str) -> tuple[str, str]:
    scheme, colon, rest = uri.partition(":")
    if colon and scheme.lower() == "sqlite":
        return "sqlite takes three slashes before the file", f"write sqlite:///{rest or 'FILE.db'}"
    if colon and scheme.lower() in SERVERS:
        return "two slashes are missing", f"write {scheme}://{rest.lstrip('/') or 'HOST:PORT'}"
    if re.fullmatch(r"(\S+@)?(\[[0-9a-fA-F:]+\]|[\w.-]+):\d*(/\S*)?|localhost(/\S*)?|\d+\.\d+\.\d+\.\d+(/\S*)?", uri):
        host = uri.partition("/")[0]
        return (
            "the scheme is missing",
            f"write http://{host.rstrip(':')}{'' if re.search(r':[0-9]+$', host) else ':5000'}",
        )
    if uri.endswith((".db", ".sqlite", ".sqlite3")):
        return "the scheme is missing", f"write sqlite:///{uri}"
    return _FOLDERS


def _file(rest: str) -> tuple[str, str] | None:
    if not rest.startswith("/"):
        return "sqlite takes three slashes before the file", f"write sqlite:///{rest or 'FILE.db'}"
    name = rest[1:]
    if name in ("", ":memory:"):
        return "a database in memory ends with the process", f"write {DEFAULT_URI}"
    if "?" in name:
        return "options after the file's name are not supported", f"write sqlite:///{name.partition('?')[0]}"
    path = Path(name)
    if name.startswith("~"):
        return "~ is not expanded", "write the full path"
    if path.is_dir():
        return "that is a folder", f"write sqlite:///{path / 'mlflow.db'}"
    if not path.absolute().parent.is_dir():
        return f"there is no folder {path.parent}", f"make it (mkdir -p {path.parent}) or name another"
    return None


def _server(uri: str) -> tuple[str, str] | None:
    parts = urlsplit(uri)
    if not parts.hostname:
        return "it names no host", f"write {parts.scheme}://localhost:{_port(uri) or 5000}"
    if _port(uri) == 0:
        return "a port is a number from 1 to 65535", f"write {parts.scheme}://{parts.hostname}:5000"
    if parts.query or parts.fragment:
        return "it continues after the server's address", f"write {uri.partition('#')[0].partition('?')[0].rstrip('/')}"
    return None


def _port(uri: str) -> int | None:
    """None: there is none; 0: it is invalid."""
    try:
        return urlsplit(uri).port
    except ValueError:
        return 0


def _driver(uri: str, engine: str) -> tuple[str, str] | None:
    """A database server needs a Python driver, which sqlalchemy looks for here as it does when MLflow connects."""
    url = importlib.import_module("sqlalchemy.engine.url")
    errors = importlib.import_module("sqlalchemy.exc")
    try:
        url.make_url(uri).get_dialect().import_dbapi()
    except ImportError as error:
        return f"its driver is not installed (no module {error.name!r})", DATABASES[engine]
    except errors.ArgumentError:  # NoSuchModuleError too: its text may quote the whole address
        return "sqlalchemy cannot read it", f"write {engine}://HOST:PORT/DATABASE"
    return None


SIDE_FILES = ("-journal", "-wal", "-shm")  # sqlite reads them with the file, so they move with it


def set_aside(path: Path) -> Path | None:
    """Rename ``mlflow.db`` to ``mlflow.db.backup-1``, or the next free number; None: there is no such file.

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
