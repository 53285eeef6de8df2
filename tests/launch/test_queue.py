"""Which answers of squeue are used again, and how a job ended."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vlkd_steps.core import file_system
from vlkd_steps.launch.slurm import queue


def test_an_answer_is_used_again_for_the_interval_and_not_once_the_clock_was_set_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []
    now = time.time()
    monkeypatch.setattr(file_system, "user_folder", lambda: tmp_path)
    monkeypatch.setattr(queue, "listed", lambda: asked.append(now) or [])
    monkeypatch.setattr(queue.time, "time", lambda: now)
    jobs = queue.Queue(10)
    for moved, queries in ((0, 1), (5, 1), (6, 2), (-3600, 3), (1, 3)):
        now += moved
        assert jobs.look() == {}
        assert len(asked) == queries


HOLD = """
import pathlib, sys, time
from vlkd_steps.core import locks
with locks.exclusive(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_submitter_that_stands_still_holds_up_no_other_one(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_system, "user_folder", lambda: tmp_path)
    monkeypatch.setattr(queue, "PATIENCE", 0.1)
    monkeypatch.setattr(queue, "listed", lambda: [["7", "RUNNING", "cpu", "1:00", "2:00", "n1", "None", "x"]])
    jobs = queue.Queue(10)
    command = [sys.executable, "-c", HOLD, str(jobs.answer.with_suffix(".lock"))]
    other = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(root)})
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        assert (seen := jobs.look())
        assert seen["7"].state == "RUNNING"
    finally:
        other.kill()
        other.wait()


@pytest.mark.parametrize(
    ("shown", "how"),
    [
        ("JobId=7 JobState=FAILED Reason=NonZeroExitCode ExitCode=1:0", "FAILED, exit 1:0, NonZeroExitCode"),
        ("JobId=7 JobState=COMPLETED Reason=None ExitCode=0:0", "COMPLETED, exit 0:0"),
        (
            "JobId=7 JobState=OUT_OF_MEMORY Reason=OutOfMemory ExitCode=0:125",
            "OUT_OF_MEMORY, exit 0:125, OutOfMemory; raise the profile's mem_mb or mem",
        ),
    ],
)
def test_how_a_job_ended_and_what_to_do_about_it(monkeypatch: pytest.MonkeyPatch, shown: str, how: str) -> None:
    monkeypatch.setattr(queue, "_output", lambda *command: shown)
    assert str(queue.ending("7")) == how


@pytest.mark.parametrize(
    ("recorded", "how"),
    [
        ("CANCELLED by 1000|0:0|00:01:00\n", "CANCELLED, exit 0:0"),
        ("NODE_FAIL|1:0|00:01:00\n", "NODE_FAIL, exit 1:0"),
        ("", "no longer known to Slurm"),
    ],
)
def test_how_a_job_ended_that_only_the_accounting_knows(
    monkeypatch: pytest.MonkeyPatch, recorded: str, how: str
) -> None:
    monkeypatch.setattr(queue, "_output", lambda *command: recorded if command[0] == "sacct" else "")
    assert str(queue.ending("7")) == how


@pytest.mark.parametrize(("text", "seconds"), [("00:01:02", 62), ("1-02:03:04", 93784), ("", 0), ("INVALID", 0)])
def test_how_long_a_job_ran(monkeypatch: pytest.MonkeyPatch, text: str, seconds: int) -> None:
    shown = f"JobId=7 JobState=FAILED Reason=None ExitCode=140:0 RunTime={text}"
    for program, said in (("scontrol", shown), ("sacct", f"FAILED|12:0|{text}\n")):
        monkeypatch.setattr(queue, "_output", lambda *command, p=program, s=said: s if command[0] == p else "")
        assert queue.ending("7").seconds == seconds
