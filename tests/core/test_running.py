"""A run waits for the steps of earlier runs, and a step whose Snakemake has ended does not begin."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from vlkd_steps.core import running, step

STEP = """
import os, sys
from vlkd_steps.core import step
@step.entry
def main(argv=None):
    step.configuration(["--config", "{}"], None)
    print("began", "VLKD_SNAKEMAKE" in os.environ, flush=True)
    sys.stdin.read()
    return 0
sys.exit(main())
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def prepare(folder: Path, root: Path) -> Iterator[subprocess.Popen[str]]:
    """A step that runs until its input ends."""
    (folder / "prepare.py").write_text(STEP)
    environment = os.environ | {"PYTHONPATH": str(root), running.VARIABLE: str(os.getpid())}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "prepare.py"], text=True, env=environment, **pipes) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "began False\n"  # its own processes are no steps
        yield process
        process.kill()


def test_a_run_waits_for_a_step_of_an_earlier_one(
    prepare: subprocess.Popen[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert prepare.stdin is not None
    threading.Timer(0.5, prepare.stdin.close).start()
    running.wait()
    assert f"waits for the step prepare (process {prepare.pid} on " in capsys.readouterr().err
    assert prepare.wait(20) == 0
    assert not list(running.FOLDER.iterdir())


def test_a_killed_step_holds_up_no_run(prepare: subprocess.Popen[str], capsys: pytest.CaptureFixture[str]) -> None:
    prepare.kill()
    prepare.wait()
    assert list(running.FOLDER.iterdir())
    running.wait()
    assert not list(running.FOLDER.iterdir())
    assert not capsys.readouterr().err


def test_a_step_whose_snakemake_has_ended_ends(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @step.entry
    def main(argv: object = None) -> int:
        step.configuration(["--config", "{}"], None)
        return 0

    monkeypatch.setenv(running.VARIABLE, str(os.getpid()))  # not this process's parent
    assert main() == 2
    assert "has ended" in capsys.readouterr().err
    assert main() == 0  # by hand
