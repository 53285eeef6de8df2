"""A real one-node cluster, and a project on it whose data, splits and features are made. No sbatch is mocked."""

import fcntl
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "pipeline"))
from own_data import PARAMS
from pipeline_project import Project
from shared_projects import NAME, made_once
from shared_projects import finished_project as finished_project


@pytest.fixture(scope="session")
def cluster(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment that names the cluster; the last test process that used it takes it down."""
    shared = tmp_path_factory.getbasetemp().parent
    folder = shared / "slurm"
    environment = {"VLKD_CLUSTER": str(folder), "VLKD_CLUSTER_CPUS": "8"}
    script = str(root / "scripts/slurm_dev_cluster")
    with (shared / "slurm.users").open("a") as users:
        fcntl.flock(users, fcntl.LOCK_SH)
        started = subprocess.run([script, "up"], env={**os.environ, **environment}, capture_output=True, text=True)
        if started.returncode:
            pytest.skip(f"NO SLURM HERE, so nothing of tests/slurm is tested: {started.stderr.strip()}")
        exported = re.fullmatch(r"export SLURM_CONF=(\S+)\n", started.stdout)
        assert exported, started.stdout
        names = {"SLURM_CONF": exported[1]}
        with pytest.MonkeyPatch.context() as patch:
            for name, value in names.items():
                patch.setenv(name, value)
            yield names
        fcntl.flock(users, fcntl.LOCK_UN)
        try:
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return  # another test process is at it
        subprocess.run([script, "down"], env={**os.environ, **environment, **names}, check=True)


@pytest.fixture(scope="session")
def prepared(
    cluster: dict[str, str], root: Path, finished_project: Project, tmp_path_factory: pytest.TempPathFactory
) -> Project:
    """All phases before the trainings of two seeds, and nothing trained. Work on a copy."""

    def make(folder: Path) -> None:
        project = finished_project.copy(folder)
        for name in ("runs", "results"):
            shutil.rmtree(project.folder / name)
        (project.folder / "profiles/slurm/config.yaml").write_text(
            (root / "profiles/slurm_dev/config.yaml").read_text(encoding="utf-8")
        )
        project.params(grid={**PARAMS["grid"], "seed": [1, 2]})
        project.commit("Two seeds")
        phases = ("download", "prepare", "split", "pretrain", "extract", "targets")
        project.snakemake("--", *(f"all_{phase}" for phase in phases))

    return made_once("prepared", tmp_path_factory, make)


@pytest.fixture
def project(prepared: Project, tmp_path: Path) -> Project:
    return prepared.copy(tmp_path / NAME)
