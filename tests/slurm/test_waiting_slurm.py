"""What is said of jobs that do not start, or of whose end Slurm does not know, on the real cluster."""

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest
from pipeline_project import Project
from waiting import Submitter, configuration, jobs, places, state

pytestmark = [pytest.mark.slow, pytest.mark.exhaustive]


def test_a_held_job_is_named_with_what_starts_it(project: Project) -> None:
    submitter = Submitter(project, {**configuration(project), "seeds": [1]}, slurm_extra="--hold")
    submitter.until(lambda: "JobHeldUser" in submitter.said, "held")
    [job_id] = jobs(project).values()
    assert f"job {job_id} PENDING (JobHeldUser)  partition normal; it is held" in submitter.said
    subprocess.run(["scontrol", "release", job_id], check=True)
    assert submitter.ends() == 0, submitter.said
    assert "wrote the result" not in submitter.said
    assert state(job_id) == "COMPLETED"


def test_a_held_job_of_snakemakes_executor_is_named(project: Project) -> None:
    log = project.folder / "said.txt"
    held = ["--default-resources", "slurm_extra='--hold'", "slurm_partition=normal", "runtime=5", "mem_mb=500"]
    with log.open("w") as output:
        command = ["snakemake", "--profile", "slurm", *held, "--forcerun", "split_eval", "--", "all_split"]
        run = subprocess.Popen(command, cwd=project.folder, env=project.environment(), stdout=output, stderr=output)
    until = time.monotonic() + 600
    while not (found := re.search(r"Slurm job (\d+) PENDING \(JobHeldUser\)  partition normal; it is held", said(log))):
        assert time.monotonic() < until, said(log)
        assert run.poll() is None, said(log)
        time.sleep(0.5)
    assert found[1] in places(project)
    while run.poll() is None:
        assert time.monotonic() < until, said(log)
        for job_id in places(project):
            if state(job_id) == "PENDING":
                subprocess.run(["scontrol", "release", job_id], check=True)
        time.sleep(1)
    assert run.returncode == 0, said(log)


def said(log: Path) -> str:
    return log.read_text()


def test_a_job_whose_slurmstepd_was_killed_is_cancelled_when_its_result_is_there(project: Project) -> None:
    submitter = Submitter(project, {**configuration(project), "seeds": [1]})
    submitter.until(lambda: "RUNNING" in submitter.said, "running")
    [job_id] = jobs(project).values()
    found = subprocess.run(["pgrep", "-f", rf"slurmstepd: \[{job_id}\.batch\]"], capture_output=True, text=True)
    os.kill(int(found.stdout), signal.SIGKILL)
    assert submitter.ends() == 0, submitter.said
    assert (
        f"job {job_id} wrote the result, but Slurm reports it as running (was its slurmstepd killed?); cancelled"
        in (submitter.said)
    )
    assert state(job_id) != "RUNNING"
    assert (project.folder / "runs/scenes_smoke/mine/vilt_scenes/finetune/20/s1/model.safetensors").is_file()
