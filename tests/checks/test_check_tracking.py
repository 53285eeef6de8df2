import base64
import http.server
import socket
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from vlkd_steps.checks import tracking
from vlkd_steps.core import file_system
from vlkd_steps.tracking import schema


@pytest.fixture(autouse=True)
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture
def address() -> Iterator[str]:
    class Health(http.server.BaseHTTPRequestHandler):
        """/: MLflow; /login: a page; /proxy: redirected there; /locked: MLflow for ada; all else: 403."""

        def do_GET(self) -> None:
            place = self.path.removesuffix("/health")
            ada = f"Basic {base64.b64encode(b'ada:se@cret').decode()}"
            allowed = place == "" or (place == "/locked" and self.headers["Authorization"] == ada)
            status, body = (200, b"OK") if allowed else (401, b"") if place == "/locked" else (403, b"")
            if place == "/login":
                status, body = 200, b"<!doctype html><html><head><title>Sign in</title></head></html>"
            self.send_response(302 if place == "/proxy" else status)
            if place == "/proxy":
                self.send_header("Location", "/login")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Health) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_the_local_file_before_and_after_the_first_run() -> None:
    (found,) = tracking.check(1)
    assert (found.level, found.found[:9]) == ("ok", "mlflow.db")
    assert "will be made by the first run" in found.found
    with sqlite3.connect("mlflow.db") as opened:
        opened.execute("CREATE TABLE runs (run_uuid TEXT, lifecycle_stage TEXT)")
        opened.execute("INSERT INTO runs VALUES ('a', 'active'), ('b', 'deleted'), ('the parent of a', 'active')")
        opened.execute("CREATE TABLE tags (run_uuid TEXT, key TEXT)")
        opened.execute("INSERT INTO tags VALUES ('the parent of a', 'mean_over'), ('a', 'shot')")
        opened.execute("CREATE TABLE alembic_version (version_num TEXT)")
        opened.execute("INSERT INTO alembic_version VALUES (?)", (schema.head(schema.revisions_of_mlflow()),))
    opened.close()
    assert tracking.check(1)[0].found.endswith("1 runs")
    Path("mlflow.db").write_bytes(b"not a database at all, but long enough to be read as one" * 40)
    (found,) = tracking.check(1)
    assert found.level == "warn"
    assert schema.REBUILD in found.remedy
    Path("mlflow.db").write_bytes(b"")
    (found,) = tracking.check(1)
    assert (found.level, found.found[:9]) == ("ok", "mlflow.db")


def test_a_shared_file_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"20 1 0:1 / / rw - ext4 /dev/sda rw\n21 20 0:2 / {tmp_path} rw - lustre x rw\n")
    monkeypatch.setattr(file_system, "MOUNTINFO", mounts)
    monkeypatch.setenv("VLKD_LOCAL", "/var/tmp")
    address, database = tracking.check(1)
    assert "since this folder is on lustre" in address.found
    assert address.found.startswith("/var/tmp/vlkd-")
    assert database.level == "ok"
    assert not Path(address.found.partition(",")[0]).parent.exists()  # the doctor changes nothing
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    assert [each.level for each in tracking.check(1)] == ["warn", "ok"]


def test_a_server(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    assert tracking.check(2)[0].line() == f"  ok    address          {address} answers"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"{address}/elsewhere")
    assert "MLFLOW_SERVER_ALLOWED_HOSTS" in tracking.check(2)[0].remedy
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://ada:secret@127.0.0.1:{port}")
    (found,) = tracking.check(1)
    assert found.level == "warn"
    assert f"http://127.0.0.1:{port} does not answer" in found.found
    assert "secret" not in found.line()


def test_a_folder_is_no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "mlruns")
    assert tracking.check(1)[0].level == "fail"


def test_a_page_is_not_mlflow(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for place, words in {"login": "the page 'Sign in'", "proxy": f"redirects to {address}/login"}.items():
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"{address}/{place}")
        (found,) = tracking.check(2)
        assert found.level == "warn"
        assert words in found.found


def test_user_and_password_are_sent_and_not_shown(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    locked = f"{address}/locked"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", locked)
    assert "answers 401" in tracking.check(2)[0].found
    monkeypatch.setenv("MLFLOW_TRACKING_URI", locked.replace("//", "//ada:se%40cret@"))
    assert tracking.check(2)[0].line() == f"  ok    address          {address} answers"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", locked)
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ada")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "se@cret")
    assert tracking.check(2)[0].level == "ok"
