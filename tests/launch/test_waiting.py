"""What is said of waiting jobs, with the reasons that Slurm 22.05 gives."""

import pytest

from vlkd_steps.graph.executor_waits import ExecutorWaits
from vlkd_steps.launch.slurm import waiting
from vlkd_steps.launch.slurm.queue import Seen
from vlkd_steps.launch.slurm.waiting import Waits

DRAINED = "Nodes required for job are DOWN, DRAINED or reserved for jobs in higher priority partitions"


def job(reason: str, state: str = "PENDING", name: str = "vlkd-1") -> Seen:
    return Seen("12", state, "gpu", "0:12", "4:00:00", "node7" if state == "RUNNING" else "", reason, name)


@pytest.mark.parametrize(
    ("reason", "state", "expected"),
    [
        ("JobHeldUser", "PENDING", "scontrol release 12"),
        ("JobHeldAdmin", "PENDING", "scontrol release 12"),
        ("launch failed requeued held", "PENDING", "scontrol release 12"),
        ("None", "REQUEUE_HOLD", "scontrol release 12"),
        ("PartitionDown", "PENDING", "scontrol show partition gpu"),
        ("PartitionInactive", "PENDING", "scontrol show partition gpu"),
        ("PartitionTimeLimit", "PENDING", "scontrol show partition gpu"),
        (DRAINED, "PENDING", "sinfo -R"),
        ("ReqNodeNotAvail, UnavailableNodes:vm", "PENDING", "sinfo -R"),
        ("BadConstraints", "PENDING", "vlkd doctor"),
        ("AssocGrpGRES", "PENDING", "account or QoS"),
        ("QOSMaxJobsPerUserLimit", "PENDING", "account or QoS"),
        ("InvalidAccount", "PENDING", "account or QoS"),
    ],
)
def test_what_starts_a_job_that_does_not_start_by_itself(reason: str, state: str, expected: str) -> None:
    assert expected in waiting.advice(job(reason, state))
    assert expected in Waits().described(job(reason, state))[0]


@pytest.mark.parametrize("reason", ["Priority", "Resources", "None", "BeginTime", "Prolog", ""])
def test_what_passes_by_itself(reason: str) -> None:
    assert waiting.advice(job(reason)) == ""


def test_a_line_is_due_at_a_change_after_ten_minutes_and_every_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(waiting.time, "monotonic", lambda: now)
    waits, lines, last = Waits(), [], ""
    minutes = range(0, 130, 5)
    for minute in minutes:
        now = 60.0 * minute
        text, key = waits.described(job("Priority" if minute % 2 else "Resources"))
        lines += [text] if key != last else []
        last = key
    assert lines == [
        "PENDING (Resources)  partition gpu",
        "PENDING (Resources)  partition gpu, for 10 min",
        "PENDING (Resources)  partition gpu, for 1 h",
        "PENDING (Resources)  partition gpu, for 2 h",
    ]
    text, key = waits.described(job("PartitionDown"))
    assert key != last
    assert text.startswith("PENDING (PartitionDown)  partition gpu, for 2 h; the partition does not start it: ")
    assert waits.described(job("None", "RUNNING"))[0] == "RUNNING  partition gpu on node7, 0:12 of 4:00:00"
    assert waits.described(job("BeginTime"))[0] == "PENDING (BeginTime)  partition gpu"


def test_of_snakemakes_own_jobs_what_stops_them_is_reported_once() -> None:
    waits = ExecutorWaits()
    waits.name_of_jobs = "run"
    assert waits.news({"12": job("Priority", name="run"), "13": job("JobHeldUser")}) == []
    held = {"12": job("JobHeldUser", name="run")}
    (line,) = waits.news(held)
    assert line.startswith("Slurm job 12 PENDING (JobHeldUser)  partition gpu; it is held")
    assert waits.news(held) == []
    assert waits.news({"12": job("None", "RUNNING", "run")}) == []
