"""The real graph, started from a shell that would have it run something else."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from own_data import start
from pipeline_project import checkout, finished


def test_the_graph_runs_this_projects_steps(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another vlkd_steps on PYTHONPATH, no current folder on Python's path, a name that needs quoting, and no git."""
    project = start(checkout(root, tmp_path / "made")).copy(tmp_path / 'it\'s my "$HOME" project')
    shutil.rmtree(project.folder / ".git")
    monkeypatch.setenv("PYTHONPATH", str(foreign(tmp_path / "lib")))
    monkeypatch.setenv("PYTHONSAFEPATH", "1")
    monkeypatch.setenv("SBATCH_ACCOUNT", "secret")
    output = project.snakemake("--", "all_prepare")
    assert finished(output)["prepare"] == 1
    assert "SBATCH_ACCOUNT" not in output  # nothing of Slurm here
    output = project.snakemake("-n", "--profile", "slurm", "--", "all_split")
    assert output.count("note: SBATCH_ACCOUNT of your shell is not used; set slurm_account in the profile") == 1
    assert "secret" not in output


@pytest.mark.exhaustive  # tests/cli/test_track_users.py is another user's
def test_a_user_without_a_name_or_a_home(root: Path, tmp_path: Path) -> None:
    unnamed = ["unshare", "--user", "--map-user=54321", "--map-group=54321"]
    if shutil.which("unshare") is None or subprocess.run([*unnamed, "true"], capture_output=True).returncode:
        pytest.skip("this machine lets nobody make a user without a name")
    project = start(checkout(root, tmp_path / "project"))
    run = [*unnamed, "env", "--unset=USER", "--unset=LOGNAME"]
    output = project.run(*run, "snakemake", "--cores", "1", "--", "all_prepare")
    assert finished(output)["prepare"] == 1
    # Without a home Snakemake itself ends before it reads a Snakefile; the doctor says why.
    for home in ("--unset=HOME", "HOME=/proc"):
        said = project.run(*run, home, "python", "-m", "vlkd_steps.cli.doctor", status=2)
        assert "Traceback" not in said
        assert re.search(r"^  fail  home  .*; name a folder of yours: export HOME=/path$", said, re.M), said


def foreign(folder: Path) -> Path:
    """A folder with another package of our name, which ends every program that imports it."""
    (folder / "vlkd_steps").mkdir(parents=True)
    (folder / "vlkd_steps/__init__.py").write_text("raise SystemExit('another vlkd_steps')\n")
    return folder
