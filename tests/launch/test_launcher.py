"""What a submitter does about a job that has written its result and does not end."""

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from vlkd_steps.core.interruption import StopRequest
from vlkd_steps.launch.slurm import launcher, queue
from vlkd_steps.launch.slurm.queue import Ending, Seen
from vlkd_steps.launch.slurm.request import Request
from vlkd_steps.launch.slurm.submission import Record
from vlkd_steps.launch.work import Part, Work


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


@pytest.mark.parametrize(
    ("how", "deaths"),
    [
        (Ending("FAILED", "140:0", 14_000), 0),  # saved at the time limit, and `scontrol requeue` was refused
        (Ending("FAILED", "12:0", 14_000), 0),  # the same, in the words of sacct
        (Ending("FAILED", "143:0", 700), 0),
        (Ending("FAILED", "140:0", 5), 1),  # saved at once: no progress
        (Ending("FAILED", "137:0", 14_000), 1),
        (Ending("TIMEOUT", "0:15", 14_400), 1),
        (Ending("PREEMPTED", "0:15", 5), 0),
        (Ending(""), 1),
    ],
)
def test_which_ends_count_towards_the_tries(how: Ending, deaths: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "ending", lambda job_id: how)
    record, part = Record("11", "key"), Part("s1", {}, "key", lambda: False)
    known: Any = SimpleNamespace(
        jobs=SimpleNamespace(interval=-1),  # seconds to wait for a result
        records={"s1": record},
        request=Request(runtime=240),
        result=lambda record: None,
    )
    submitter = launcher.Submitter(Work("a:b", "a job", Path("jobs"), {}, [part]), known, StopRequest())
    assert submitter.died(part, job("FAILED"))
    assert record.deaths == deaths
