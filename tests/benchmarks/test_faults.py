"""benchmarks/faults.py, some trials of it: every fault ends in equal bytes, or is named with a remedy that helps."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.exhaustive
def test_no_fault_goes_unnoticed(root: Path) -> None:
    command = [sys.executable, root / "benchmarks" / "faults.py", "--trials", "16", "--seed", "2"]
    own = {**os.environ, "PYTHONPATH": str(root)}
    found = subprocess.run(command, env=own, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr
    assert re.search(r"^\| all \| 16 \| \d+ \| \d+ \| \d+ \|$", found.stdout, re.MULTILINE)
