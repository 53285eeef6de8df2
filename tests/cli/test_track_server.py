"""Tracking to a real server, which is killed in the middle and comes back."""

import contextlib
import http.server
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from vlkd_steps.cli import track, ui
from vlkd_steps.core import layout
from vlkd_steps.tracking.journal import Journal

MakeRun = Callable[..., Path]
Tracked = Callable[..., dict[str, Any]]


@pytest.fixture
def serve(empty_database: Path, tmp_path: Path) -> Callable[[int], Any]:
    """Starts a server over a sqlite file of its own, in a folder that outlives it."""
    folder = tmp_path / "server"
    folder.mkdir()
    shutil.copyfile(empty_database, folder / "mlflow.db")

    @contextlib.contextmanager
    def server(port: int) -> Iterator[subprocess.Popen[bytes]]:
        with contextlib.chdir(folder), ui.served("sqlite:///mlflow.db", port) as (_, process):
            os.chdir(folder.parent)
            yield process

    return server


def kill(server: subprocess.Popen[bytes]) -> None:
    os.killpg(server.pid, signal.SIGKILL)
    server.wait()


def wait_for(condition: Callable[[], bool], seconds: float = 300) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.5)


@pytest.mark.slow
@pytest.mark.usefixtures("subprocess_environment")
def test_an_outage_neither_stops_nor_loses_a_run(
    make_run: MakeRun, serve: Callable[[int], Any], tracked: Tracked, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    port = ui.free_port(5600)
    uri = f"http://127.0.0.1:{port}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    make_run(variant="finetune")
    command = [sys.executable, "-m", "vlkd_steps.cli.track", "scenes", "--follow"]
    said = tmp_path / "tracker.log"
    with contextlib.ExitStack() as cleaning:
        with serve(port) as server:
            with said.open("w") as log:
                tracker = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=log)
            cleaning.callback(tracker.kill)
            wait_for(lambda: len(tracked(uri)) == 1)
            folder = make_run(end=None)
            with Journal(layout.journal(folder)) as journal:
                wait_for(lambda: len(tracked(uri)) == 2)
                kill(server)
                for step in range(110, 200, 10):
                    journal.append("metrics", step=step, metrics={"loss": 1 / step})
                wait_for(lambda: "nothing is lost" in said.read_text())
                journal.append("metrics", step=200, metrics={"loss": 0.005})
                assert tracker.poll() is None
        make_run()  # the attempt ends while the server is away
        with serve(port):
            wait_for(lambda: "answers again" in said.read_text())
            run = tracked(uri)["clip_td 300 s10 scenes_vqa"]
            assert run.info.status == "FINISHED"
            assert run.data.metrics["gain/test/accuracy"] > 0
            from mlflow import MlflowClient

            client = MlflowClient(tracking_uri=uri)
            steps = [metric.step for metric in client.get_metric_history(run.info.run_id, "train/loss")]
            assert set(steps) == set(range(10, 201, 10))
            assert {item.path for item in client.list_artifacts(run.info.run_id)} >= {"config.yaml", "predictions"}
            assert tracker.stdin is not None
            tracker.stdin.close()
            assert tracker.wait(60) == 0
        assert said.read_text().count("does not answer") == 1


def test_without_a_server_it_ends_soon_and_says_that_nothing_is_lost(
    make_run: MakeRun, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run()
    started = time.monotonic()
    status = track.main(["scenes", "--tracking-uri", f"http://127.0.0.1:{ui.free_port(5700)}"])
    assert status == 3
    assert time.monotonic() - started < 30
    said = capsys.readouterr().err
    assert "; not written, or incomplete: clip_td 300 s10 scenes_vqa; nothing is lost" in said


@pytest.mark.parametrize("redirects", [False, True])
def test_a_login_page_and_a_dead_server_are_one_message_without_the_password(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], redirects: bool
) -> None:
    class Login(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(302 if redirects and self.path != "/login" else 200)
            self.send_header("Location", "/login")
            self.end_headers()
            self.wfile.write(b"<!doctype html>\n<html><head><title>Sign in</title></head></html>")

        def log_message(self, *_: object) -> None: ...

    make_run()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Login) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://ada:secret@127.0.0.1:{server.server_port}")
        ended = [track.main(["scenes"]), ui.main([])]
        server.shutdown()
    assert ended == [3, 2]
    shown = capsys.readouterr()
    assert shown.out == ""
    first, second = shown.err.splitlines()
    for line in (first, second):
        assert f"http://127.0.0.1:{server.server_port} does not answer: a web page came back ('Sign in')" in line
    assert track.main(["scenes"]) == 3
    (line,) = capsys.readouterr().err.splitlines()
    assert "secret" not in first + second + line


@pytest.mark.parametrize("status", [401, 403])
def test_a_server_that_denies_access_is_a_mistake_to_correct(
    make_run: MakeRun, capsys: pytest.CaptureFixture[str], status: int
) -> None:
    class Denied(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(b"not for you")

        def log_message(self, *_: object) -> None: ...

    make_run()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Denied) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        ended = track.main(["scenes", "--tracking-uri", f"http://127.0.0.1:{server.server_port}"])
        server.shutdown()
    assert ended == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "denies access" in line
    assert "not for you" in line
    assert "MLFLOW_TRACKING_USERNAME" in line
