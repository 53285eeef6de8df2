"""Jobs go where the profile says, under our names, whatever the user's shell says or whichever job it runs in."""

import re
import subprocess
from pathlib import Path

import pytest
from pipeline_project import Project, finished
from waiting import CHATTY, Submitter, configuration, jobs, places, wrapper

SHELL = {
    "SBATCH_PARTITION": "urgent", "SBATCH_JOB_NAME": "x", "SBATCH_ACCOUNT": "secret", "SBATCH_EXPORT": "NONE",
    "SQUEUE_PARTITION": "urgent", "SQUEUE_STATES": "PENDING", "SCANCEL_STATE": "PENDING", "SLURM_JOB_ID": "7",
    "SLURM_NTASKS": "4", "SLURM_HINT": "nomultithread",
}  # fmt: skip


def test_a_launched_step(project: Project) -> None:
    submitter = Submitter(project, {**configuration(project), "seeds": [1]}, SHELL)
    submitter.until(lambda: "RUNNING  partition normal" in submitter.said, "running")
    [job_id] = jobs(project).values()
    assert submitter.ends() == 0, submitter.said
    assert submitter.said.count("note: SBATCH_ACCOUNT, ") == 1
    assert "secret" not in submitter.said
    partition, name = places(project)[job_id]
    assert partition == "normal"
    assert name.startswith("vlkd-")


def test_jobs_of_snakemakes_executor(prepared: Project, tmp_path: Path) -> None:
    project = prepared.copy(tmp_path / "it's my project")
    shell = SHELL | {"PYTHONSAFEPATH": "1"} | wrapper(tmp_path / "bin", "sbatch", CHATTY)
    before = places(project)
    variables = [f"{name}={value}" for name, value in shell.items()]
    rule = ["--forcerun", "split_train", "--", "all_split"]
    output = project.run("env", *variables, "snakemake", "--profile", "slurm", *rule)
    assert finished(output)["split_train"] == 1
    assert output.count("note: SBATCH_ACCOUNT, ") == 1
    ids = re.findall(r"submitted with SLURM jobid (\d+) ", output)
    new = {job_id: place for job_id, place in places(project).items() if job_id not in before}
    assert set(ids) == set(new), output  # each submitted once, and known by its own id
    assert {partition for partition, _ in new.values()} == {"normal"}
    assert "x" not in {name for _, name in new.values()}


@pytest.mark.slow
@pytest.mark.exhaustive
def test_snakemake_inside_a_slurm_job(project: Project) -> None:
    run = "runs/scenes_smoke/mine/vilt_scenes/finetune/20/s1/metrics.json"
    command = f"exec snakemake --profile profiles/slurm_dev --forcerun split_train -- {run}"
    options = [
        "--wait",
        "--partition=normal",
        "--mem=300",
        "--output=outer.txt",
        "--job-name=outer",
        f"--wrap={command}",
    ]
    done = subprocess.run(["sbatch", *options], cwd=project.folder, env=project.environment(), capture_output=True)
    output = (project.folder / "outer.txt").read_text()
    assert done.returncode == 0, output
    assert finished(output)["split_train"] == finished(output)["distill"] == 1
    assert (project.folder / run).is_file()
    assert "SLURM job context" not in output  # by which the executor says that it forgets where the cluster is
    assert {name.partition("-")[0] for _, name in places(project).values()} >= {"outer", "vlkd"}
