"""scripts/slurm_dev_cluster: starts once, says so, and leaves nothing behind."""

import os
import subprocess
from pathlib import Path


def test_up_twice_status_down(cluster: dict[str, str], root: Path, tmp_path: Path) -> None:
    # Sockets have short names only, so not below pytest's own long folder.
    folder = Path("/tmp") / f"vlkd-dev-{os.getpid()}"
    environment = {**os.environ, "VLKD_CLUSTER": str(folder)}

    def run(word: str) -> subprocess.CompletedProcess[str]:
        script = str(root / "scripts/slurm_dev_cluster")
        return subprocess.run([script, word], env=environment, capture_output=True, text=True, timeout=60)

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
