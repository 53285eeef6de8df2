"""The doctor on a real cluster."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from vlkd_steps.cli import doctor

Doctor = Callable[[str], tuple[int, list[str]]]


@pytest.fixture
def told(
    cluster: dict[str, str],
    root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Doctor:
    """Runs the doctor with a profile's text: exit status and the lines about Slurm."""
    monkeypatch.chdir(root)

    def run(text: str) -> tuple[int, list[str]]:
        (tmp_path / "config.yaml").write_text("slurm-status-command: squeue\n" + text)
        status = doctor.main(["--profile", str(tmp_path)])
        lines = capsys.readouterr().out.splitlines()
        begin = next(i for i, line in enumerate(lines) if line.startswith("Slurm"))
        return status, lines[begin + 1 : lines.index("MLflow")]

    return run


def profile(**resources: object) -> str:
    """All three launched rules with these resources."""
    given = ", ".join(f"{key}: {value}" for key, value in {"launcher": "slurm", **resources}.items())
    rules = "".join(f"  {rule}: {{{given}}}\n" for rule in ("distill", "extract", "pretrain"))
    others = "{slurm_partition: normal, runtime: 10, mem_mb: 500}"
    return f"executor: slurm\ndefault-resources: {others}\nset-resources:\n{rules}"


def test_a_profile_that_fits_is_found_to_fit(told: Doctor) -> None:
    began = time.monotonic()
    status, lines = told(profile(slurm_partition="urgent", runtime="2h", mem_mb=1000, cpus_per_task=2))
    assert time.monotonic() - began < 3
    assert status == 0, lines
    assert [line[:8] for line in lines] == ["  ok    "] * 6
    assert lines[0].startswith("  ok    controller       cluster vlkd, Slurm ")
    assert "accounts are not checked" in lines[1]
    assert "partition urgent, 2 CPUs, 1000 MB, 120 min: 1 node fits" in lines[2]
    assert "partition normal, 1 CPU, 500 MB, 10 min: 1 node fits" in lines[5]


@pytest.mark.parametrize(
    ("resources", "reason"),
    [
        ({"slurm_partition": "norml"}, "there is no partition 'norml' (did you mean 'normal'?)"),
        ({"slurm_partition": "normal", "gpu": 1, "gpu_model": "a100"}, "has no GPU of type 'a100' (it has: no GPUs)"),
        ({"slurm_partition": "normal", "mem_mb": 99_000_000}, "99000000 MB, but a node of partition normal"),
        ({"slurm_partition": "normal", "cpus_per_task": 999}, "999 CPUs a node, but a node of partition normal"),
        ({"slurm_partition": "normal", "nodes": 2}, "2 nodes are asked for, but 1 node of partition normal"),
        ({"slurm_partition": "normal", "constraint": "ib"}, "has the feature 'ib'"),
        ({"slurm_partition": "normal", "constraint": "a&b"}, "sbatch refuses it: Invalid feature specification"),
    ],
)
def test_why_it_is_not_usable(told: Doctor, resources: dict[str, object], reason: str) -> None:
    status, lines = told(profile(**resources))
    assert status == 2
    failed = [line for line in lines if line.startswith("  fail")]
    assert [line.split()[1] for line in failed] == ["distill", "extract", "pretrain"]
    assert all(reason in line for line in failed), lines


def test_sacct_would_know_no_job(told: Doctor, tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told(profile(slurm_partition="normal"))
    text = (tmp_path / "config.yaml").read_text()
    (tmp_path / "config.yaml").write_text(text.removeprefix("slurm-status-command: squeue\n"))
    assert doctor.main(["--profile", str(tmp_path)]) == 2
    assert "fail  accounting       none, and snakemake would ask sacct" in capsys.readouterr().out
