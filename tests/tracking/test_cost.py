from typing import Any

import pytest

from vlkd_steps.tracking import cost

CPU = {"processes": 1, "nodes": 1, "cpus": 2, "gpus": 0, "memory_mib": 4000}
GPU = {"processes": 2, "nodes": 1, "cpus": 16, "gpus": 2, "memory_mib": 64000}


def start(time: float, allocation: dict[str, Any] | None = None, **tags: Any) -> dict[str, Any]:
    more = {} if allocation is None else {"allocation": allocation}
    return {"event": "start", "time": time, "run_key": "a", "tags": tags, **more}


def metrics(time: float) -> dict[str, Any]:
    return {"event": "metrics", "time": time, "step": 1, "metrics": {}}


def end(time: float, **used: float) -> dict[str, Any]:
    return {"event": "end", "time": time, "status": "FINISHED", **used}


def test_an_attempt_costs_its_seconds_times_what_it_was_given() -> None:
    spent = cost.of([start(100, GPU), metrics(150), end(1901, seconds=1800, cpu_seconds=3600, peak_mib=900)])
    assert (spent.attempts, spent.seconds) == (1, 1800)
    assert (spent.gpu_hours, spent.core_hours) == (1.0, 8.0)
    assert spent.cpu_efficiency == 0.25  # two processes of 3,600 s each, of 1,800 s x 16
    assert spent.peak_mib == 900


def test_attempts_add_up_and_a_killed_one_counts_until_its_last_word() -> None:
    spent = cost.of(
        [
            start(0, CPU, slurm_job="17", slurm_node="a1"),
            metrics(40),
            metrics(90),  # killed here
            start(500, CPU, slurm_job="17", slurm_node="a2"),
            metrics(510),
            {"event": "interrupted", "time": 520, "reason": "TERM"},
            start(600, CPU, slurm_job="18", slurm_node="a1"),
            end(711, seconds=110, cpu_seconds=55, peak_mib=700),
        ]
    )
    assert (spent.attempts, spent.seconds) == (3, 90 + 20 + 110)
    assert spent.core_hours == pytest.approx(220 * 2 / 3600, abs=1e-6)
    assert spent.cpu_efficiency == 0.25  # of the attempt that records it
    assert spent.allocation == {"slurm_job": "17, 18", "slurm_node": "a1, a2"}
    assert "gpu_hours" not in spent.numbers()


def test_an_interrupted_attempt_may_record_its_own_seconds() -> None:
    interruption = {"event": "interrupted", "time": 99, "seconds": 30, "cpu_seconds": 30, "peak_mib": 5}
    spent = cost.of([start(0, CPU), interruption, start(200, CPU), end(300, seconds=10, cpu_seconds=10, peak_mib=4)])
    assert (spent.seconds, spent.cpu_efficiency, spent.peak_mib) == (40, 0.5, 5)


def test_a_start_alone_costs_nothing_yet() -> None:
    spent = cost.of([start(5, CPU)])
    assert (spent.attempts, spent.seconds, spent.core_hours, spent.cpu_efficiency) == (1, 0, 0, None)


def test_journals_without_allocations_have_seconds_only() -> None:
    spent = cost.of([start(0), end(12, seconds=11.4, peak_mib=780.2), start(20, CPU), end(30, seconds=10)])
    assert spent.seconds == 21.4
    assert spent.core_hours is None
    assert spent.gpu_hours is None
    assert spent.numbers() == {"seconds": 21.4, "peak_mib": 780.2}


def test_a_step_without_a_journal_is_read_from_its_provenance() -> None:
    known = {
        "seconds": 360.0,
        "peak_mib": 512.0,
        "allocation": CPU,
        "efficiency": {"cpu": 0.9},
        "slurm": {"job_id": "31", "array_job_id": "30", "array_task_id": "1", "job_nodelist": "a1"},
    }
    spent = cost.of_step(known)
    assert (spent.core_hours, spent.cpu_efficiency, spent.peak_mib) == (0.2, 0.9, 512)
    assert spent.allocation == {"slurm_job": "30_1", "slurm_node": "a1"}
    assert cost.of_step({"seconds": 3.0, "slurm": {}}).core_hours is None


def test_hours_are_read_in_gpus_where_there_are_any() -> None:
    assert cost.hours(8.0, 1.0) == "1 GPU-hours"
    assert cost.hours(0.03125, 0.0) == "0.0312 core-hours"
    assert cost.hours(12345.6, None) == "12,346 core-hours"
    assert cost.hours(None, None) == ""
