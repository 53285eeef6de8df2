"""A submitter cancels, detaches, reports, tries again and gives up, each on the real cluster."""

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest
from pipeline_project import Project
from waiting import Submitter, configuration, jobs, state, submitted

LONG = {"steps": 100_000, "evaluate_every": 0}


def test_the_seeds_go_as_one_array_and_are_published(project: Project) -> None:
    submitter = Submitter(project, configuration(project))
    submitter.until(lambda: len(jobs(project)) == 2 and all(jobs(project).values()), "submitted")
    ids = set(jobs(project).values())
    assert submitter.ends() == 0, submitter.said
    assert len({job.partition("_")[0] for job in ids}) == 1
    assert {job.partition("_")[2] for job in ids} == {"0", "1"}
    for seed in (1, 2):
        folder = project.folder / f"runs/scenes_smoke/mine/vilt_scenes/finetune/20/s{seed}"
        assert (folder / "model.safetensors").is_file()
        assert (folder / "predictions/test.parquet").is_file()
    for part in ("s1", "s2"):  # one line per change, with id, state, partition and time
        line = rf" finetune 20 {part}\] job \d+_\d RUNNING  partition normal on \S+, 0:\d\d of 5:00"
        assert len(re.findall(line, submitter.said)) == 1, submitter.said
    assert {path.suffix for path in (project.folder / "jobs").rglob("*") if path.is_file()} <= {".out", ".err", ".lock"}


@pytest.mark.parametrize(("detach", "afterwards"), [("no", "CANCELLED"), ("yes", "RUNNING")])
def test_ctrl_c_cancels_or_leaves(project: Project, detach: str, afterwards: str) -> None:
    submitter = Submitter(project, {**configuration(project, **LONG), "seeds": [1]}, detach=detach)
    submitter.until(lambda: "RUNNING" in submitter.said, "running")
    [job_id] = jobs(project).values()
    os.killpg(submitter.process.pid, signal.SIGINT)
    assert submitter.process.wait(60) == 130
    if detach == "no":
        assert f"cancelled: {job_id}" in submitter.said
    else:
        assert f"left running: {job_id}; the same command finds them again" in submitter.said
    time.sleep(1)
    limit = time.monotonic() + 120
    try:
        while detach == "no" and state(job_id) == "RUNNING" and time.monotonic() < limit:
            time.sleep(0.2)
        assert state(job_id) in (afterwards, "COMPLETING")
    finally:
        subprocess.run(["scancel", job_id], check=True)


def test_a_users_mistake_in_the_job_is_one_message_and_is_not_tried_again(project: Project) -> None:
    before = submitted(project)
    submitter = Submitter(project, {**configuration(project, warmth=1), "seeds": [1]})
    assert submitter.ends() == 2
    assert "error: unknown key 'warmth' at training" in submitter.said
    assert "Traceback" not in submitter.said
    assert len(submitted(project) - before) == 1


def test_what_keeps_dying_is_given_up_with_the_reason_and_the_log(project: Project) -> None:
    before = submitted(project)
    submitter = Submitter(project, {**configuration(project, **LONG), "seeds": [1]}, tries=2)
    for death in (1, 2):
        submitter.until(lambda death=death: submitter.said.count("RUNNING") == death, "running")
        [job_id] = jobs(project).values()
        subprocess.run(["scancel", "--signal=KILL", f"{job_id}.0"], check=True)  # the process, not the job
    assert submitter.ends() == 1
    assert "resubmitted" in submitter.said
    assert re.search(r"failed: FAILED, exit \S+, NonZeroExitCode; tried 2 times", submitter.said), submitter.said
    log = re.search(r"The end of (jobs/distill/\S+_log.out):\n    \S", submitter.said)
    assert log
    assert (project.folder / log[1]).is_file()
    assert len(submitted(project) - before) == 2


def test_a_cancelled_job_is_not_resubmitted(project: Project) -> None:
    submitter = Submitter(project, {**configuration(project, **LONG), "seeds": [1]})
    submitter.until(lambda: "RUNNING" in submitter.said, "running")
    subprocess.run(["scancel", *jobs(project).values()], check=True)
    assert submitter.ends() == 1
    assert "its job was cancelled; the same command submits it again" in submitter.said


def test_sbatchs_refusal_says_what_to_correct(project: Project) -> None:
    submitter = Submitter(project, configuration(project), slurm_partition="gold")
    assert submitter.ends() == 2
    assert "error: sbatch refuses the job: " in submitter.said
    assert "invalid partition specified: gold" in submitter.said
    assert "set-resources in profiles/<name>/config.yaml" in submitter.said


def test_processes_that_do_not_fit_the_profile(project: Project) -> None:
    submitter = Submitter(project, configuration(project), nodes=2, tasks=4)
    assert submitter.ends() == 2
    assert "the profile gives 2 nodes x 4 tasks = 8 processes, but the run trains in 1" in submitter.said


def test_a_job_whose_id_was_never_written_down_is_found_by_its_name(project: Project) -> None:
    config = {**configuration(project, **LONG), "seeds": [1]}
    submitter = Submitter(project, config)
    submitter.until(lambda: "RUNNING" in submitter.said, "running")
    [job_id] = jobs(project).values()
    submitter.process.kill()
    submitter.process.wait()
    [file] = (project.folder / "jobs").glob("*/*/job.json")
    file.write_text(file.read_text().replace(f'"{job_id}"', '""'))  # as if killed between sbatch and the writing
    before = submitted(project)
    again = Submitter(project, config)
    again.until(lambda: f"found again: job {job_id}" in again.said, "found again")
    os.killpg(again.process.pid, signal.SIGINT)
    again.process.wait(60)
    assert submitted(project) == before


def test_another_configurations_jobs_are_cancelled_first(project: Project) -> None:
    submitter = Submitter(project, {**configuration(project, **LONG), "seeds": [1]})
    submitter.until(lambda: "RUNNING" in submitter.said, "running")
    [old] = jobs(project).values()
    submitter.process.kill()
    submitter.process.wait()
    again = Submitter(project, {**configuration(project), "seeds": [1]})
    assert again.ends() == 0
    assert f"cancelled, because they were for an older configuration: {old}" in again.said
    assert state(old) == "CANCELLED"


@pytest.mark.slow
@pytest.mark.parametrize("count", [25, pytest.param(100, marks=pytest.mark.exhaustive)])
def test_many_submitters_are_light_and_run_at_once(project: Project, count: int) -> None:
    config = configuration(project)
    submitters = []
    try:
        for number in range(count):
            own = {**config, "seeds": [1], "training": {**config["training"], "learning_rate": 1e-4 * (1 + number)}}
            # Each has its own job; none may start, so that all wait.
            submitters.append(Submitter(project, own | {"experiment": f"many{number}"}, slurm_extra="--hold", poll=2))
        for submitter in submitters:
            submitter.until(
                lambda submitter=submitter: (memory(submitter) or 0) and held() >= count, "all wait", seconds=240
            )
        assert sum(submitter.process.poll() is None for submitter in submitters) == count
        largest = max(memory(submitter) for submitter in submitters)
        assert largest < 80, f"{largest} MB"
        maps = Path(f"/proc/{submitters[0].process.pid}/maps").read_text()
        assert "libtorch" not in maps
        print(json.dumps({"submitters": count, "largest VmHWM in MB": largest}))
    finally:
        for submitter in submitters:
            os.killpg(submitter.process.pid, signal.SIGINT)
        for submitter in submitters:
            submitter.process.wait(60)


def memory(submitter: Submitter) -> float:
    status = Path(f"/proc/{submitter.process.pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1000


def held() -> int:
    command = ["squeue", "--noheader", "--states=PENDING", "--format=%j|%r"]
    lines = subprocess.run(command, capture_output=True, text=True).stdout.splitlines()
    return sum(line.startswith("vlkd-") and line.endswith("JobHeldUser") for line in lines)
