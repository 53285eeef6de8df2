"""A submitter to observe, and what Slurm reports of its jobs."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pipeline_project import Project

PLACE = {"launcher": "slurm", "slurm_partition": "normal", "runtime": 5, "warning": 30, "mem_mb": 500, "poll": 1}
CHATTY = """
echo "Welcome, job 99 is your quota"
echo 17
"$REAL" "$@"; status=$?
echo "12 of 100 jobs used"
exit $status
"""
"""An sbatch as sites have them: it says things before and after the real one, `$REAL`."""


class Submitter:
    """A `distill` step that submits to Slurm and waits, started in a project; `shell`: the user's variables."""

    def __init__(
        self, project: Project, config: dict[str, Any], shell: Mapping[str, str] | None = None, **resources: object
    ) -> None:
        self.project = project
        self.output = project.folder / "submitter.txt"
        environment = {f"VLKD_{name.upper()}": str(value) for name, value in {**PLACE, **resources}.items()}
        command = [sys.executable, "-m", "vlkd_steps.steps.distill", "--config", json.dumps(config)]
        with self.output.open("a") as output:
            self.process = subprocess.Popen(
                command,
                cwd=project.folder,
                env=project.environment() | environment | dict(shell or {}),
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    @property
    def said(self) -> str:
        return self.output.read_text()

    def until(self, happened: Callable[[], object], what: str, seconds: float = 600) -> None:
        limit = time.monotonic() + seconds
        while not happened():
            assert self.process.poll() is None, f"ended before {what}:\n{self.said}"
            assert time.monotonic() < limit, f"not after {seconds} s: {what}\n{self.said}"
            time.sleep(0.1)

    def ends(self, seconds: float = 600) -> int:
        """Wait for the end; returns the status. A requeued job is not kept waiting for its two minutes."""
        limit = time.monotonic() + seconds
        while self.process.poll() is None:
            assert time.monotonic() < limit, f"did not end in {seconds} s:\n{self.said}"
            start_requeued()
            time.sleep(0.3)
        return self.process.returncode


def start_requeued() -> None:
    """End the two minutes that Slurm makes every requeued job wait."""
    shown = subprocess.run(["squeue", "--noheader", "--array", "--format=%i|%r"], capture_output=True, text=True).stdout
    for line in shown.splitlines():
        job_id, _, reason = line.partition("|")
        if reason == "BeginTime":
            subprocess.run(["scontrol", "update", f"JobId={job_id}", "StartTime=now"], capture_output=True)


def jobs(project: Project) -> dict[str, str]:
    """Job ids by part, as job.json has them."""
    found: dict[str, str] = {}
    for path in (project.folder / "jobs").glob("*/*/job.json"):
        parts = json.loads(path.read_text())["parts"]
        found |= {f"{path.parent.name} {name}": record["job_id"] for name, record in parts.items()}
    return found


def state(job_id: str) -> str:
    """As squeue has it; ended jobs too."""
    command = ["squeue", "--noheader", "--array", "--states=all", f"--jobs={job_id}", "--format=%T"]
    return subprocess.run(command, capture_output=True, text=True).stdout.strip()


def submitted(project: Project) -> set[str]:
    """Ids of the project's jobs that the controller remembers, those of Snakemake's own executor aside."""
    command = ["squeue", "--noheader", "--array", "--states=all", "--format=%i|%j|%Z"]
    lines = subprocess.run(command, capture_output=True, text=True).stdout.splitlines()
    rows = [line.split("|") for line in lines]
    return {job_id for job_id, name, folder in rows if name.startswith("vlkd-") and folder == str(project.folder)}


def configuration(project: Project, variant: str = "finetune", **training: object) -> dict[str, Any]:
    """What Snakemake would give the distill step of this variant, with other training settings."""
    code = (
        "import json; from vlkd_steps.config import composition, jobs; c = composition.compose(); "
        "from vlkd_steps.config.models.composition import Cell; "
        f"print(json.dumps(jobs.distill(c, Cell('mine', 'vilt_scenes', {variant!r}, '20'))))"
    )
    config = json.loads(project.run(sys.executable, "-c", code).splitlines()[-1])
    config["training"] |= training
    return config


def places(project: Project) -> dict[str, tuple[str, str]]:
    """Partition and name of every job that was submitted from the project's folder, by id."""
    command = ["squeue", "--noheader", "--array", "--states=all", "--format=%i|%P|%j|%Z"]
    lines = subprocess.run(command, capture_output=True, text=True).stdout.splitlines()
    rows = [line.split("|") for line in lines]
    return {job_id: (partition, name) for job_id, partition, name, folder in rows if folder == str(project.folder)}


def wrapper(folder: Path, program: str, script: str) -> dict[str, str]:
    """A site's wrapper around a program of Slurm, first on PATH; ``$REAL`` in it is the program."""
    folder.mkdir(exist_ok=True)
    path = folder / program
    path.write_text(f"#!/bin/sh\nREAL={shutil.which(program)}\n{script}\n")
    path.chmod(0o755)
    return {"PATH": os.pathsep.join([str(folder), str(Path(sys.executable).parent), os.environ["PATH"]])}
