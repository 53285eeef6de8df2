"""scripts/slurm_dev_cluster: starts once, says so, and leaves nothing behind."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest


def test_a_user_without_a_name_is_one_message(root: Path, tmp_path: Path) -> None:
    unnamed = ["unshare", "--user", "--map-user=54321", "--map-group=54321"]
    if shutil.which("unshare") is None or subprocess.run([*unnamed, "true"], capture_output=True).returncode:
        pytest.skip("this machine lets nobody make a user without a name")
    command = [*unnamed, str(root / "scripts/slurm_dev_cluster"), "up"]
    environment = {**os.environ, "VLKD_CLUSTER": str(tmp_path / "cluster")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 2
    assert done.stderr.startswith("slurm_dev_cluster: user id 54321 has no name here")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "cluster").exists()


def test_up_twice_status_down(cluster: dict[str, str], root: Path, tmp_path: Path) -> None:
    # Sockets have short names only, so not below pytest's own long folder.
    folder = Path("/tmp") / f"vlkd-dev-{os.getpid()}"
    environment = {**os.environ, "VLKD_CLUSTER": str(folder)}

    def run(word: str) -> subprocess.CompletedProcess[str]:
        script = str(root / "scripts/slurm_dev_cluster")
        return subprocess.run([script, word], env=environment, capture_output=True, text=True, timeout=300)

    assert run("status").returncode == 1
    try:
        first, second = run("up"), run("up")
        assert first.returncode == second.returncode == 0, first.stderr
        assert first.stdout == second.stdout == f"export SLURM_CONF={folder}/slurm.conf\n"
        daemons = subprocess.run(["pgrep", "-fc", str(folder)], capture_output=True, text=True).stdout.strip()
        assert daemons == "3"  # munged, slurmctld, slurmd
        said = run("status")
        assert said.returncode == 0
        assert "normal*" in said.stdout
        assert "urgent" in said.stdout
        job = ["sbatch", "--output=/dev/null", "--wrap=sleep 600"]
        subprocess.run(job, env={**environment, "SLURM_CONF": f"{folder}/slurm.conf"}, check=True, capture_output=True)
    finally:
        assert run("down").returncode == 0
    assert not folder.exists()
    assert subprocess.run(["pgrep", "-f", str(folder)], capture_output=True).stdout == b""
    assert run("status").returncode == 1
    assert run("down").returncode == 0
