"""scripts/install: two pips side by side, of which none outlives the script; a stand-in replaces Python."""

import os
import subprocess
import time
from pathlib import Path

import pytest

PIP = """#!/usr/bin/env bash
packages=$(cat "${@: -1}")
echo "$packages" >>"$HERE/asked"
if grep -q broken <<<"$packages"; then exit 3; fi
if grep -q slow <<<"$packages"; then sleep 1; echo slow >>"$HERE/slow"; fi
"""


@pytest.fixture
def venv(tmp_path: Path) -> Path:
    folder = tmp_path / "a venv"
    (folder / "bin").mkdir(parents=True)
    (folder / "bin/python").write_text(PIP)
    (folder / "bin/python").chmod(0o755)
    return folder


def install(root: Path, venv: Path, *packages: str) -> int:
    lock = venv.parent / "some.lock"
    lock.write_text("# pinned\n" + "".join(f"{package}==1\n" for package in packages))
    command = [str(root / "scripts/install"), str(venv), "python3", str(lock)]
    return subprocess.run(command, env=os.environ | {"HERE": str(venv.parent)}, capture_output=True).returncode


def test_every_package_once_and_mlflows_together(root: Path, venv: Path) -> None:
    packages = ["a", "b", "mlflow", "mlflow-skinny", "mlflow-tracing", "z"]
    assert install(root, venv, *packages) == 0
    asked = (venv.parent / "asked").read_text().split()
    assert sorted(asked) == sorted(f"{package}==1" for package in packages)
    first = asked.index("mlflow==1")
    assert asked[first : first + 3] == ["mlflow==1", "mlflow-skinny==1", "mlflow-tracing==1"]
    assert (venv / "some.lock").is_file()


@pytest.mark.parametrize("packages", [("broken", "slow"), ("slow", "broken")])
def test_a_half_that_fails_is_the_scripts_status_and_leaves_no_record(
    root: Path, venv: Path, packages: tuple[str, str]
) -> None:
    assert install(root, venv, *packages) == 3
    assert not (venv / "some.lock").exists()


def test_what_fails_at_once_stops_the_other_half(root: Path, venv: Path) -> None:
    assert install(root, venv, "broken", "slow") == 3  # the lock's first line is a comment: `broken` is in half 0
    assert install(root, venv, "slow", "broken") == 3  # half 1 fails, half 0 is in the background
    time.sleep(2)
    assert (venv.parent / "slow").read_text().split() == ["slow"]  # of the first call, which waited for it
