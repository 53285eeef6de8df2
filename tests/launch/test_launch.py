"""Launchers: the job of a work, here, in several processes of this machine, or by a name that does not exist."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from vlkd_steps.core import files, planned_code
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.interruption import stop_request
from vlkd_steps.launch.work import Part, Work, launch, workers


def job(config: Mapping[str, Any]) -> int:
    return config["status"]


def note_rank(config: Mapping[str, Any]) -> int:
    rank, world = os.environ["RANK"], os.environ["WORLD_SIZE"]
    Path(config["folder"], f"{rank}-{world}").touch()
    return 0


def sleep(config: Mapping[str, Any]) -> int:
    Path(config["folder"], os.environ["RANK"]).touch()
    time.sleep(60)
    return 0


def work(function: str, config: Mapping[str, Any], folder: Path, processes: int = 1) -> Work:
    parts = [Part("s1", config, "key", lambda: False)]
    return Work(f"tests.launch.test_launch:{function}", "a job", folder / "jobs", config, parts, processes)


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    root = str(Path(__file__).parents[2])
    monkeypatch.syspath_prepend(root)
    monkeypatch.setenv("PYTHONPATH", root)  # for the processes that are started


@pytest.mark.parametrize("name", [None, "", "local"])
def test_the_local_launcher_runs_the_job_here_and_returns_its_status(
    name: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("VLKD_LAUNCHER", name) if name is not None else monkeypatch.delenv("VLKD_LAUNCHER", False)
    assert launch(work("job", {"status": 7}, tmp_path)) == 7


def test_a_launcher_that_does_not_exist_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("VLKD_LAUNCHER", "moon")
    with pytest.raises(UserError, match="VLKD_LAUNCHER is 'moon', but there is no such launcher; available: local, sl"):
        launch(work("job", {"status": 0}, tmp_path))


@pytest.mark.parametrize(("text", "number"), [("3", 3), ("", 1), ("²", 1), ("1" * 5000, 1)])
def test_workers_are_a_number_or_left_to_the_request_to_refuse(
    text: str, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VLKD_LAUNCHER", "slurm")
    monkeypatch.setenv("VLKD_WORKERS", text)
    assert workers() == number


def test_two_processes_are_started_with_their_ranks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("VLKD_LAUNCHER", "local")
    assert launch(work("note_rank", {"folder": str(tmp_path)}, tmp_path, processes=2)) == 0
    assert {path.name for path in tmp_path.iterdir()} - {"jobs"} == {"0-2", "1-2"}


def test_processes_find_this_package_whatever_is_on_pythons_path(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "lib/vlkd_steps").mkdir(parents=True)
    (tmp_path / "lib/vlkd_steps/__init__.py").write_text("raise SystemExit('another vlkd_steps')\n")
    root = str(Path(__file__).parents[2])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "lib"), root]))  # the job itself is a test's
    monkeypatch.setenv("PYTHONSAFEPATH", "1")
    monkeypatch.setenv("VLKD_LAUNCHER", "local")
    (tmp_path / "out").mkdir()
    assert launch(work("note_rank", {"folder": str(tmp_path / "out")}, tmp_path, processes=2)) == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"0-2", "1-2"}


CODE = (
    "import json, sys; from pathlib import Path; from tests.launch.test_launch import work; "
    "from vlkd_steps.launch.work import launch; folder = Path(sys.argv[1]); "
    "raise SystemExit(launch(work(sys.argv[2], {'folder': str(folder)}, folder, processes=2)))"
)


def started(function: str, folder: Path) -> "subprocess.Popen[bytes]":
    """A step whose job runs in two processes."""
    environment = {**os.environ, "VLKD_LAUNCHER": "local"}
    starter = subprocess.Popen([sys.executable, "-c", CODE, str(folder), function], env=environment)
    until = time.monotonic() + 300
    while not (folder / "0").exists() or not (folder / "1").exists():
        assert time.monotonic() < until
        time.sleep(0.1)
    return starter


def left(folder: Path) -> str:
    return subprocess.run(["pgrep", "-f", str(folder)], capture_output=True, text=True).stdout


def test_term_reaches_the_processes(tmp_path: Path) -> None:
    starter = started("sleep", tmp_path)
    starter.send_signal(signal.SIGTERM)
    assert starter.wait(30) == 143
    assert left(tmp_path) == ""


def damaged(config: Mapping[str, Any]) -> int:
    """Process 1 finds a mistake before the two have met, or after; process 0 then waits for it for hours."""
    import torch

    if not config["met"] and os.environ["RANK"] == "1":
        raise UserError("its image is damaged")
    torch.distributed.init_process_group("gloo")
    if os.environ["RANK"] == "1":
        raise UserError("its image is damaged")
    torch.distributed.barrier()
    return 0


@pytest.mark.parametrize("met", [True, pytest.param(False, marks=pytest.mark.exhaustive)])
def test_a_mistake_in_one_of_the_processes_is_the_steps_only_message(
    met: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VLKD_LAUNCHER", "local")
    with pytest.raises(UserError, match=r"^its image is damaged$"):
        launch(work("damaged", {"met": met}, tmp_path, processes=2))
    assert "error" not in capfd.readouterr().err.lower()


def test_processes_whose_code_was_edited_end_the_step_with_one_message(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VLKD_LAUNCHER", "local")
    monkeypatch.setenv(planned_code.VARIABLE, "planned")
    monkeypatch.chdir(tmp_path)
    files.write_json(planned_code.FILE, {"planned": {"vlkd_steps.core.seeds": "of another source"}})
    with pytest.raises(UserError, match=r"not what this run has planned \(module vlkd_steps\.core\.seeds\)"):
        launch(work("note_rank", {"folder": str(tmp_path)}, tmp_path, processes=2))
    assert "Traceback" not in capfd.readouterr().err


def crash(config: Mapping[str, Any]) -> int:
    raise ValueError("no such luck")


def test_the_report_of_a_crash_stays(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VLKD_LAUNCHER", "local")
    assert launch(work("crash", {}, tmp_path, processes=2)) == 1
    assert "ValueError: no such luck" in capfd.readouterr().err


def test_a_step_that_waits_for_another_one_hears_a_signal_and_leaves_its_configuration(tmp_path: Path) -> None:
    first = started("sleep", tmp_path)
    try:
        configuration = (tmp_path / "jobs/config.json").stat()
        command = [sys.executable, "-c", CODE, str(tmp_path), "note_rank"]
        environment = {**os.environ, "VLKD_LAUNCHER": "local"}
        with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as second:
            assert second.stderr
            assert "waits for process" in second.stderr.readline()
            second.send_signal(signal.SIGTERM)
            assert second.wait(30) == -signal.SIGTERM
        assert (tmp_path / "jobs/config.json").stat() == configuration
        assert first.poll() is None
    finally:
        first.terminate()
        first.wait(30)


def save_when_stopped(config: Mapping[str, Any]) -> int:
    rank = os.environ["RANK"]
    with stop_request() as stop:
        Path(config["folder"], rank).touch()
        until = time.monotonic() + 60
        while not stop and time.monotonic() < until:
            time.sleep(0.1)
        Path(config["folder"], f"{rank} stopped").touch()
    return 0


def test_a_killed_step_leaves_no_process_and_they_save(tmp_path: Path) -> None:
    starter = started("save_when_stopped", tmp_path)
    starter.kill()
    starter.wait()
    until = time.monotonic() + 120
    while left(tmp_path) and time.monotonic() < until:
        time.sleep(0.1)
    assert left(tmp_path) == ""
    assert (tmp_path / "0 stopped").exists()
