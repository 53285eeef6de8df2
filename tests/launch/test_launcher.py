"""What a submitter does about a job that has written its result and does not end."""

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from vlkd_steps.core.interruption import StopRequest
from vlkd_steps.launch.slurm import launcher, queue
from vlkd_steps.launch.slurm.queue import Seen
from vlkd_steps.launch.work import Work


def job(state: str) -> dict[str, Seen]:
    return (
        {} if state == "forgotten" else {"11": Seen("11", state, "gpu", "0:12", "4:00:00", "node7", "None", "vlkd-1")}
    )


@pytest.mark.parametrize(("now", "cancelled"), [("COMPLETED", []), ("COMPLETING", []), ("", []), ("RUNNING", ["11"])])
def test_the_queue_is_asked_anew_before_a_job_is_cancelled(
    now: str, cancelled: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(queue, "cancel", lambda ids, jobs: asked.extend(ids) or [])
    known: Any = SimpleNamespace(jobs=SimpleNamespace(interval=10, since=lambda moment: job(now)))
    submitter = launcher.Submitter(Work("a:b", "a job", Path("jobs"), {}, []), known, StopRequest())
    submitter.ending["11"] = time.monotonic() - 60
    submitter.end_ended(job("RUNNING"))
    assert asked == cancelled
    assert submitter.ending == {}
