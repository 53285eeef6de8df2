import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vlkd_steps.checks import slurm
from vlkd_steps.checks.profile import Profile
from vlkd_steps.cli import doctor

SLURM = Profile(
    Path("profiles/slurm/config.yaml"), {"executor": "slurm", "default-resources": {"slurm_partition": "a"}}
)


def section(text: str, title: str) -> list[str]:
    lines = text.splitlines()
    begin = next(i for i, line in enumerate(lines) if line.startswith(title)) + 1
    end = next((i for i in range(begin, len(lines)) if not lines[i].startswith("  ")), len(lines))
    return lines[begin:end]


def test_this_project_in_under_three_seconds_and_without_heavy_imports(root: Path) -> None:
    code = """
import sys
from vlkd_steps.cli import doctor
status = doctor.main([])
heavy = [name for name in ("torch", "mlflow", "transformers", "open_clip", "polars") if name in sys.modules]
print(status, heavy, file=sys.stderr)
"""
    environment = {k: v for k, v in os.environ.items() if k not in ("SNAKEMAKE_PROFILE", "MLFLOW_TRACKING_URI")}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == "0 []", done.stdout
    for title in ("machine", "packages", "Slurm", "MLflow", "DVC", "data"):
        for line in section(done.stdout, title):
            assert line.startswith(("  ok    ", "  warn  ", "  fail  "))
    assert "not needed by profiles/local/config.yaml" in section(done.stdout, "Slurm")[0]
    assert done.stdout.splitlines()[-1].endswith(" to look at, 0 failed")


def test_what_the_profile_needs_and_is_not_there_is_exit_status_2(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(root)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("SNAKEMAKE_PROFILE", "profiles/slurm")
    assert doctor.main([]) == 2
    (line,) = section(capsys.readouterr().out, "Slurm (profiles/slurm/config.yaml)")
    assert line.startswith("  fail  commands         no sbatch, squeue, scontrol, scancel, sinfo on PATH; run this on")


def test_mistakes_in_calling_it(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(root)
    assert doctor.main(["--profile", "slrum"]) == 2
    assert "there is no profile 'slrum'" in capsys.readouterr().err
    monkeypatch.chdir(tmp_path)
    assert doctor.main([]) == 2
    assert "run this in a project's folder" in capsys.readouterr().err


@pytest.fixture
def installed() -> None:
    if slurm.shutil.which("scontrol") is None:
        pytest.skip("NO SLURM HERE, so a dead controller is not tested")


def conf(folder: Path, port: int) -> Path:
    path = folder / "slurm.conf"
    path.write_text(
        f"ClusterName=dead\nSlurmctldHost=localhost(127.0.0.1)\nSlurmctldPort={port}\nAuthType=auth/none\n"
        "NodeName=localhost CPUs=1\nPartitionName=a Nodes=localhost Default=YES\n"
    )
    return path


@pytest.mark.usefixtures("installed")
def test_a_dead_controller_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound, never listening: a closed port that nobody else gets
        monkeypatch.setenv("SLURM_CONF", str(conf(tmp_path, closed.getsockname()[1])))
        began = time.monotonic()
        (found,) = slurm.check(SLURM, doctor.SECONDS)
        assert time.monotonic() - began < doctor.SECONDS + 10
    assert (found.level, found.subject) == ("fail", "controller")
    assert "DOWN" in found.found or "no answer" in found.found


@pytest.mark.usefixtures("installed")
def test_a_controller_that_hangs_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()  # takes the connection, and says nothing
        monkeypatch.setenv("SLURM_CONF", str(conf(tmp_path, silent.getsockname()[1])))
        began = time.monotonic()
        (found,) = slurm.check(SLURM, 0.5)
        assert time.monotonic() - began < 15
    assert (found.level, found.subject) == ("fail", "controller")


@pytest.mark.usefixtures("installed")
def test_no_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_CONF", str(tmp_path / "slurm.conf"))
    (found,) = slurm.check(SLURM, 1)
    assert found.found == f"SLURM_CONF names {tmp_path}/slurm.conf, which does not exist"
