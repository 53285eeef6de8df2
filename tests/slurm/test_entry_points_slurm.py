"""``snakemake --profile slurm`` and ``SNAKEMAKE_PROFILE=slurm dvc repro``: params.yaml unchanged, the same bytes."""

import re
import shutil
from collections import Counter
from pathlib import Path

import pytest
from own_data import PARAMS, hashes, start
from pipeline_project import Project, checkout, finished
from shared_projects import NAME
from waiting import places, submitted

MISSING = ("distill", "compare")


def on_the_dev_cluster(project: Project) -> None:
    """Replace the profile `slurm` by that of the one-node cluster."""
    dev = (project.folder / "profiles/slurm_dev/config.yaml").read_text()
    (project.folder / "profiles/slurm/config.yaml").write_text(dev)


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        ("snakemake", "--profile", "slurm"),
        pytest.param(("env", "SNAKEMAKE_PROFILE=slurm", "dvc", "repro"), marks=pytest.mark.exhaustive),
    ],
    ids=["snakemake", "dvc"],
)
def test_what_is_missing_is_trained_on_the_cluster(
    cluster: dict[str, str], finished_project: Project, tmp_path: Path, command: tuple[str, ...]
) -> None:
    there = finished_project.copy(tmp_path / NAME)
    on_the_dev_cluster(there)
    for name in ("runs", "results", ".dvc/cache", *(f"manifests/scenes_smoke/{it}.json" for it in MISSING)):
        path = there.folder / name
        path.unlink() if path.is_file() else shutil.rmtree(path)

    before = submitted(there)
    output = there.run(*command)
    assert hashes(there) == hashes(finished_project)
    runs = len(PARAMS["grid"]["variant"])
    assert finished(output) == Counter(distill=runs, evaluate=runs, compare=1, report=1) + Counter(
        f"manifest_{phase}" for phase in MISSING
    )
    assert len(submitted(there) - before) == runs
    assert "up to date" in there.dvc("status")


@pytest.mark.slow
@pytest.mark.exhaustive
def test_dvc_repro_on_the_cluster(
    cluster: dict[str, str], root: Path, tmp_path: Path, finished_project: Project
) -> None:
    there = start(checkout(root, tmp_path / NAME))
    on_the_dev_cluster(there)

    before = submitted(there)
    output = there.run("env", "SNAKEMAKE_PROFILE=slurm", "dvc", "repro")
    assert hashes(there) == hashes(finished_project)
    runs = len(PARAMS["grid"]["variant"])
    assert finished(output)["distill"] == runs
    assert len(submitted(there) - before) == runs + 3  # and two workers of the one extraction, and what ends it
    # CPU rules went through Snakemake's own executor; dvc and the launched steps' own processes stayed here.
    assert re.search(r"has been submitted with SLURM jobid \d+ \(log: .+/rule_prepare", output)
    assert not re.search(r"submitted with SLURM jobid \d+ \(log: .+/rule_(distill|extract|download)", output)
    # Every entry point has nothing to do afterwards, with either profile.
    assert "up to date" in there.dvc("status")
    for profile in ("slurm", "profiles/local"):
        assert "Nothing to be done" in there.run("snakemake", "-n", "--profile", profile)


@pytest.mark.slow
@pytest.mark.exhaustive
def test_the_readmes_command_on_the_dev_cluster(
    cluster: dict[str, str], root: Path, tmp_path: Path, finished_project: Project
) -> None:
    """The committed profile: its partitions, GPUs, memory and limits are those that the cluster has."""
    there = start(checkout(root, tmp_path / NAME))
    output = there.run("snakemake", "--profile", "slurm")
    assert hashes(there) == hashes(finished_project)
    assert re.search(r"has been submitted with SLURM jobid \d+ \(log: .+/rule_prepare", output)
    used = {(name.startswith("vlkd-"), partition) for partition, name in places(there).values()}
    assert used == {(True, "gpu"), (False, "cpu")}


def test_the_committed_profile_needs_no_cluster_to_be_read(root: Path, tmp_path: Path) -> None:
    project = checkout(root, tmp_path / NAME)
    output = project.run("snakemake", "-n", "--profile", "slurm")
    assert "distill" in output
    assert (project.folder / "slurm").is_symlink()
