"""benchmarks/faults.py, some trials of each kind: every fault ends in equal bytes, or is named with what helps."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("kind", "trials"), [("steps", 16), ("deleted", 2), ("slurm", 2), ("journal", 4), ("server", 1)]
)
def test_no_fault_goes_unnoticed(root: Path, kind: str, trials: int) -> None:
    if kind == "slurm" and shutil.which("slurmctld", path=f"{os.environ['PATH']}:/usr/sbin") is None:
        pytest.skip("no Slurm here")
    command = [
        sys.executable,
        root / "benchmarks" / "faults.py",
        "--kind",
        kind,
        "--trials",
        str(trials),
        "--seed",
        "2",
    ]
    own = {**os.environ, "PYTHONPATH": str(root)}
    found = subprocess.run(command, env=own, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr
    assert re.search(rf"^\| all \| {trials} \| \d+ \| \d+ \| \d+ \|$", found.stdout, re.MULTILINE)
