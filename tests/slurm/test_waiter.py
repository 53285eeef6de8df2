"""What a waiter does beside waiting: cancel, leave, tell, try again, give up. Each against the real cluster."""

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest
from pipeline_project import Project
from waiting import Waiter, configuration, jobs, state, submitted

LONG = {"steps": 100_000, "evaluate_every": 0}


def test_the_seeds_go_as_one_array_and_are_published(project: Project) -> None:
    waiter = Waiter(project, configuration(project))
    waiter.until(lambda: len(jobs(project)) == 2 and all(jobs(project).values()), "submitted")
    ids = set(jobs(project).values())
    assert waiter.ends() == 0, waiter.said
    assert len({job.partition("_")[0] for job in ids}) == 1
    assert {job.partition("_")[2] for job in ids} == {"0", "1"}
    for seed in (1, 2):
        folder = project.folder / f"runs/scenes_smoke/mine/vilt_scenes/finetune/20/s{seed}"
        assert (folder / "model.safetensors").is_file()
        assert (folder / "predictions/test.parquet").is_file()
    for part in ("s1", "s2"):  # one line per change, with id, state, partition and time
        line = rf" finetune 20 {part}\] job \d+_\d RUNNING  partition normal on \S+, 0:\d\d of 5:00"
        assert len(re.findall(line, waiter.said)) == 1, waiter.said
    assert not list((project.folder / "jobs").rglob("*.pkl"))


@pytest.mark.parametrize(("detach", "afterwards"), [("no", "CANCELLED"), ("yes", "RUNNING")])
def test_ctrl_c_cancels_within_seconds_or_leaves(project: Project, detach: str, afterwards: str) -> None:
    waiter = Waiter(project, {**configuration(project, **LONG), "seeds": [1]}, detach=detach)
    waiter.until(lambda: "RUNNING" in waiter.said, "running")
    [job_id] = jobs(project).values()
    os.killpg(waiter.process.pid, signal.SIGINT)
    told = time.monotonic()
    assert waiter.process.wait(10) == 130
    assert time.monotonic() - told < 5
    if detach == "no":
        assert f"cancelled: {job_id}" in waiter.said
    else:
        assert f"left running: {job_id}; the same command finds them again" in waiter.said
    time.sleep(1)
    try:
        assert state(job_id) in (afterwards, "COMPLETING")
    finally:
        subprocess.run(["scancel", job_id], check=True)


def test_a_users_mistake_in_the_job_is_one_message_and_is_not_tried_again(project: Project) -> None:
    before = submitted(project)
    waiter = Waiter(project, {**configuration(project, warmth=1), "seeds": [1]})
    assert waiter.ends() == 2
    assert "error: training has no key 'warmth'" in waiter.said
    assert "Traceback" not in waiter.said
    assert len(submitted(project) - before) == 1


def test_what_keeps_dying_is_given_up_with_the_reason_and_the_log(project: Project) -> None:
    before = submitted(project)
    waiter = Waiter(project, {**configuration(project, **LONG), "seeds": [1]}, tries=2)
    for death in (1, 2):
        waiter.until(lambda death=death: waiter.said.count("RUNNING") == death, "running")
        [job_id] = jobs(project).values()
        subprocess.run(["scancel", "--signal=KILL", f"{job_id}.0"], check=True)  # the process, not the job
    assert waiter.ends() == 1
    assert "submitted again" in waiter.said
    assert re.search(r"failed: FAILED, exit \S+, NonZeroExitCode; tried 2 times", waiter.said), waiter.said
    log = re.search(r"The end of (jobs/distill/\S+_log.out):\n    \S", waiter.said)
    assert log
    assert (project.folder / log[1]).is_file()
    assert len(submitted(project) - before) == 2


def test_a_cancelled_job_is_not_submitted_behind_ones_back(project: Project) -> None:
    waiter = Waiter(project, {**configuration(project, **LONG), "seeds": [1]})
    waiter.until(lambda: "RUNNING" in waiter.said, "running")
    subprocess.run(["scancel", *jobs(project).values()], check=True)
    assert waiter.ends() == 1
    assert "somebody cancelled its job; the same command submits it again" in waiter.said


def test_sbatchs_refusal_says_what_to_correct(project: Project) -> None:
    waiter = Waiter(project, configuration(project), slurm_partition="gold")
    assert waiter.ends() == 2
    assert "error: sbatch refuses the job: " in waiter.said
    assert "invalid partition specified: gold" in waiter.said
    assert "set-resources in profiles/<name>/config.yaml" in waiter.said


def test_processes_that_do_not_fit_the_profile(project: Project) -> None:
    waiter = Waiter(project, configuration(project), nodes=2, tasks=4)
    assert waiter.ends() == 2
    assert "the profile gives 2 nodes x 4 tasks = 8 processes, but the run trains in 1" in waiter.said


def test_a_job_whose_id_was_never_written_down_is_found_by_its_name(project: Project) -> None:
    config = {**configuration(project, **LONG), "seeds": [1]}
    waiter = Waiter(project, config)
    waiter.until(lambda: "RUNNING" in waiter.said, "running")
    [job_id] = jobs(project).values()
    waiter.process.kill()
    waiter.process.wait()
    [file] = (project.folder / "jobs").glob("*/*/job.json")
    file.write_text(file.read_text().replace(f'"{job_id}"', '""'))  # as if killed between sbatch and the writing
    before = submitted(project)
    again = Waiter(project, config)
    again.until(lambda: f"found again: job {job_id}" in again.said, "found again")
    os.killpg(again.process.pid, signal.SIGINT)
    again.process.wait(10)
    assert submitted(project) == before


def test_another_configurations_jobs_are_cancelled_first(project: Project) -> None:
    waiter = Waiter(project, {**configuration(project, **LONG), "seeds": [1]})
    waiter.until(lambda: "RUNNING" in waiter.said, "running")
    [old] = jobs(project).values()
    waiter.process.kill()
    waiter.process.wait()
    again = Waiter(project, {**configuration(project), "seeds": [1]})
    assert again.ends() == 0
    assert f"cancelled, as they were for an older configuration: {old}" in again.said
    assert state(old) == "CANCELLED"


@pytest.mark.slow
def test_a_hundred_waiters_are_light_and_run_at_once(project: Project) -> None:
    config = configuration(project)
    waiters = []
    try:
        for number in range(100):
            own = {**config, "seeds": [1], "training": {**config["training"], "learning_rate": 1e-4 * (1 + number)}}
            # Each a work of its own; none may start, so that all wait.
            waiters.append(Waiter(project, own | {"experiment": f"many{number}"}, slurm_extra="--hold", poll=2))
        for waiter in waiters:
            waiter.until(lambda waiter=waiter: (memory(waiter) or 0) and held() >= 100, "all wait", seconds=240)
        assert sum(waiter.process.poll() is None for waiter in waiters) == 100
        largest = max(memory(waiter) for waiter in waiters)
        assert largest < 80, f"{largest} MB"
        maps = Path(f"/proc/{waiters[0].process.pid}/maps").read_text()
        assert "libtorch" not in maps
        print(json.dumps({"waiters": 100, "largest VmHWM in MB": largest}))
    finally:
        for waiter in waiters:
            os.killpg(waiter.process.pid, signal.SIGINT)
        for waiter in waiters:
            waiter.process.wait(60)


def memory(waiter: Waiter) -> float:
    status = Path(f"/proc/{waiter.process.pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1000


def held() -> int:
    command = ["squeue", "--noheader", "--states=PENDING", "--format=%j|%r"]
    lines = subprocess.run(command, capture_output=True, text=True).stdout.splitlines()
    return sum(line.startswith("vlkd-") and line.endswith("JobHeldUser") for line in lines)
