"""benchmarks/faults.py, some trials of it: every fault ends in equal bytes, or is named with a remedy that helps."""

import re
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.exhaustive
def test_no_fault_goes_unnoticed(root: Path) -> None:
    command = [sys.executable, root / "benchmarks" / "faults.py", "--trials", "16", "--seed", "2"]
    found = subprocess.run(command, env={"PYTHONPATH": str(root), "PATH": ""}, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout + found.stderr
    assert re.search(r"^\| all \| 16 \| \d+ \| \d+ \| \d+ \|$", found.stdout, re.MULTILINE)
