"""What is printed, and what is to be run again, after a job on the cluster failed; the profile is quiet as shipped."""

import re
import subprocess
import time
from collections import Counter

import pytest
from pipeline_project import Project
from waiting import places

ONE_METHOD = Counter(distill=1, evaluate=1, receipt_distill=1, compare=1, report=1, receipt_compare=1)


def summary(output: str) -> str:
    """From the first failed job to the end."""
    assert "failed: rule " in output, output
    return output[output.index("failed: rule ") :]


def test_a_job_of_snakemakes_executor_that_fails(prepared: Project, project: Project) -> None:
    step = project.folder / "vlkd_steps/split.py"
    source = step.read_text()
    assert "step.configuration(argv, __doc__)" in source
    step.write_text(source.replace("step.configuration(argv, __doc__)", "step.configuration(argv)"))
    said = summary(project.run("snakemake", "--profile", "slurm", "--retries", "0", "--", "all_split", status=1))
    job_id = re.search(r"failed: rule split_\w+, job \d+, Slurm job (\d+)\n", said)
    assert job_id, said
    assert job_id[1] in places(project)
    assert "  log: logs/split/mine-" in said
    assert "TypeError" in said
    assert "the same command goes on" in said


def test_a_job_that_sbatch_refuses(project: Project) -> None:
    refused = ["--default-resources", "slurm_partition=nosuch", "--retries", "0", "--forcerun", "split_eval"]
    said = summary(project.run("snakemake", "--profile", "slurm", *refused, "--", "all_split", status=1))
    assert "invalid partition specified: nosuch" in said
    assert "  log: logs/split/mine-eval-" in said
    assert "nothing of this run" in said  # and not the end of an earlier run's log


@pytest.mark.slow
def test_a_cancelled_run_is_run_again(prepared: Project, project: Project) -> None:
    project.snakemake()
    overrides = {"training.steps": 200000, "variants.clip_td.adaptive_steps": 2, "variants.clip_td.lambda0": 3}
    project.params(overrides=overrides)
    run = subprocess.Popen(
        ["snakemake", "--profile", "slurm"],
        cwd=project.folder,
        env=project.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    until = time.monotonic() + 120
    while not (ours := [job for job, (_, name) in places(project).items() if name.startswith("vlkd-")]):
        assert time.monotonic() < until
        assert run.poll() is None
        time.sleep(0.1)
    subprocess.run(["scancel", *ours], check=True)
    output, _ = run.communicate(timeout=240)
    assert run.returncode == 1, output
    said = summary(output)
    assert "failed: rule distill" in said
    assert "cancelled" in said
    assert project.dry_run() == ONE_METHOD
    assert "lambda0: 3" not in (project.folder / "dvc.lock").read_text()
