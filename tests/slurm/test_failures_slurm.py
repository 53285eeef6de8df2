"""What is printed, and what is to be run again, after a job on the cluster failed; the profile is quiet as shipped."""

import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from pipeline_project import Project
from shared_projects import NAME
from waiting import places, state


def summary(output: str) -> str:
    """From the first failed job to the end."""
    assert "failed: rule " in output, output
    return output[output.index("failed: rule ") :]


def test_a_job_of_snakemakes_executor_that_fails(prepared: Project, project: Project) -> None:
    step = project.folder / "vlkd_steps/steps/split.py"
    source = step.read_text()
    first = "    config = step.configuration(argv, __doc__)\n"
    assert first in source
    step.write_text(source.replace(first, f'{first}    raise ValueError("no such luck")\n'))
    said = summary(project.run("snakemake", "--profile", "slurm", "--retries", "0", "--", "all_split", status=1))
    job_id = re.search(r"failed: rule split_\w+, job \d+, Slurm job (\d+)\n", said)
    assert job_id, said
    assert job_id[1] in places(project)
    assert "  log: logs/split/mine-" in said
    assert "ValueError: no such luck" in said
    assert "then repeat the command: it continues from here" in said


@pytest.mark.exhaustive  # test_submitter.py has the same of a launched step
def test_a_job_that_sbatch_refuses(project: Project) -> None:
    refused = ["--default-resources", "slurm_partition=nosuch", "--retries", "0", "--forcerun", "split_eval"]
    said = summary(project.run("snakemake", "--profile", "slurm", *refused, "--", "all_split", status=1))
    assert "invalid partition specified: nosuch" in said
    assert "  log: logs/split/mine-eval-" in said
    assert "nothing of this run" in said  # and not the end of an earlier run's log


@pytest.mark.slow
@pytest.mark.exhaustive  # test_submitter.py cancels a single job
def test_a_cancelled_run_is_run_again(prepared: Project, finished_project: Project, tmp_path: Path) -> None:
    project = finished_project.copy(tmp_path / NAME)
    for name in ("params.yaml", "profiles/slurm/config.yaml"):  # two seeds, one of them new
        shutil.copyfile(prepared.folder / name, project.folder / name)
    project.params(overrides={"training.steps": 200000, "variants.clip_td.adaptive_steps": 2})
    run = subprocess.Popen(
        ["snakemake", "--profile", "slurm"],
        cwd=project.folder,
        env=project.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        until = time.monotonic() + 600
        while len(ours := [job for job, (_, name) in places(project).items() if name.startswith("vlkd-")]) < 4:
            assert time.monotonic() < until
            assert run.poll() is None
            time.sleep(0.2)
        while {state(job) for job in ours} != {"RUNNING"}:
            assert time.monotonic() < until
            time.sleep(0.2)
    finally:  # both methods, both seeds: none would end by itself
        ours = [job for job, (_, name) in places(project).items() if name.startswith("vlkd-")]
        subprocess.run(["scancel", *ours], check=True)
    output, _ = run.communicate(timeout=300)
    assert run.returncode == 1, output
    said = summary(output)
    assert "failed: rule distill" in said
    assert "cancelled" in said
    assert {"distill", "evaluate", "compare", "report"} <= set(project.dry_run())
    assert "200000" not in (project.folder / "dvc.lock").read_text()
