import os
from pathlib import Path

import pytest

from vlkd_steps.checks import tracking
from vlkd_steps.cli import track, ui
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.redaction import redacted
from vlkd_steps.tracking import address

# What is refused, and what the message has to name.
REFUSED = {
    "localhost:5000": "http://localhost:5000",
    "127.0.0.1:5000": "http://127.0.0.1:5000",
    "localhost": "http://localhost:5000",
    "[::1]:5000": "http://[::1]:5000",
    "ada:secret@localhost:5000": "http://localhost:5000",
    "http://": "http://localhost:5000",
    "http://:5001": "http://localhost:5001",
    "http:/localhost:5000": "http://localhost:5000",
    "https:localhost": "https://localhost",
    "http://localhost:many": "from 1 to 65535",
    "http://ada:secret@localhost:99999": "from 1 to 65535",
    "http://[::1": "cannot be read",
    "http://ada:secret@[::1": "cannot be read",
    "http://localhost:5000/#/experiments/3": "write http://localhost:5000,",
    "http://local host": "blank",
    "htpp://localhost": "did you mean 'http'",
    "postgres://ada:secret@localhost/db": "did you mean 'postgresql'",
    "foo://x": "MLflow knows no foo://",
    "postgresql+nothing://ada:secret@localhost/db": "postgresql://HOST:PORT/DATABASE",
    "sqlite:mlflow.db": "sqlite:///mlflow.db",
    "sqlite:/tmp/mlflow.db": "sqlite:////tmp/mlflow.db",
    "sqlite://mlflow.db": "sqlite:///mlflow.db",
    "sqlite:///:memory:": "memory",
    "sqlite:///nowhere/mlflow.db": "mkdir -p nowhere",
    "sqlite:///~/mlflow.db": "full path",
    "sqlite:///mlflow.db?mode=ro": "sqlite:///mlflow.db,",
    "sqlite:///folder": "sqlite:///folder/mlflow.db",
    "mlflow.db": "sqlite:///mlflow.db",
    "mlruns": "sqlite:///FILE.db",
    "file:///mlruns": "sqlite:///FILE.db",
}
ACCEPTED = [
    "http://localhost",
    "https://ada:secret@mlflow.example.org:8443/team/",
    "http://[::1]:5000",
    "sqlite:///mlflow.db",
    "sqlite:////tmp/my mlflow.db",
    "sqlite:///folder/other.db",
]


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()


@pytest.mark.parametrize("uri", REFUSED)
def test_the_message_names_what_to_write_and_no_password(
    uri: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    said = []
    for main, arguments in ((track.main, ["scenes"]), (track.main, ["--rebuild"]), (ui.main, [])):
        assert main(arguments) == 2
        (line,) = capsys.readouterr().err.splitlines()
        said.append(line.removeprefix("error: "))
    (found,) = tracking.check(1)
    assert found.level == "fail"
    assert {*said} == {found.found}
    assert REFUSED[uri] in found.found
    assert "secret" not in found.found


@pytest.mark.parametrize("engine", ["postgresql", "mysql", "mssql"])
def test_a_database_server_needs_its_driver(engine: str) -> None:
    from sqlalchemy.engine import make_url

    uri = f"{engine}://ada:secret@localhost/db"
    try:
        make_url(uri).get_dialect().import_dbapi()
    except ImportError as error:
        with pytest.raises(UserError, match=f"no module '{error.name}'.*pip install") as refused:
            address.check_uri(uri)
        assert "secret" not in str(refused.value)
    else:
        address.check_uri(uri)


@pytest.mark.parametrize("uri", ACCEPTED)
def test_what_mlflow_can_take_is_accepted(uri: str) -> None:
    address.check_uri(uri)


def test_blanks_around_an_address_are_none_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "  ")
    assert address.given() is None
    assert address.given(" http://localhost:5000\n") == "http://localhost:5000"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://ada:secret@host:1/x", "http://host:1/x"),
        ("https://ada:se@cr/et@host", "https://host"),
        ("mysql+pymysql://ada:secret@host/db?password=secret&ssl=1", "mysql+pymysql://host/db?password=***&ssl=1"),
        ("ada:secret@host:5000", "host:5000"),
        ("sqlite:////home/ada@site/mlflow.db", "sqlite:////home/ada@site/mlflow.db"),
        ("to http://a:secret@h/api, as http://b:secret@k did", "to http://h/api, as http://k did"),
        ("no address: ask ada@example.org", "no address: ask ada@example.org"),
    ],
)  # fmt: skip
def test_no_user_and_no_password_is_shown(text: str, shown: str) -> None:
    assert redacted(text) == shown


@pytest.mark.parametrize("variable", [True, False])
def test_a_password_reaches_mlflow_only_by_variables(variable: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_URI"):
        monkeypatch.setenv(name, "before")
    uri = "http://ada:se%40cr%2Fet@host:5000/mlflow"
    if variable:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert address.tracking_uri(None if variable else uri) == "http://host:5000/mlflow"
    assert os.environ["MLFLOW_TRACKING_USERNAME"] == "ada"
    assert os.environ["MLFLOW_TRACKING_PASSWORD"] == "se@cr/et"
    assert os.environ["MLFLOW_TRACKING_URI"] == "http://host:5000/mlflow"
