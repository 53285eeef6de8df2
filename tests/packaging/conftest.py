"""The wheel of this working tree, and environments that it is installed into."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, which leaves no folder ``build`` here."""
    tree, out = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("wheel")
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0")
    subprocess.run(
        ["tar", "--create", "--file", "-", "--ignore-failed-read", "--null", "--files-from", "-"],
        cwd=ROOT,
        input="\0".join(name for name in names if os.path.lexists(ROOT / name)).encode(),
        stdout=(tree / "tree.tar").open("wb"),
        check=True,
    )
    subprocess.run(["tar", "--extract", "--file", "tree.tar"], cwd=tree, check=True)
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(out)]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, "."], cwd=tree, check=True)
    [path] = out.glob("vlkd_steps-*.whl")
    return path
