"""Tracking by users without a name, without a home directory, and in folders that they may only read."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ordinary_user
import pytest

from vlkd_steps.core import file_system
from vlkd_steps.tracking import address, tracker_lock

pytestmark = pytest.mark.skipif(
    os.getuid() == 0 and ordinary_user.closed(Path(sys.prefix)),
    reason="MLflow is in a folder that other users may not enter",
)
MakeRun = Callable[..., Path]
Tracked = Callable[..., dict[str, Any]]
CLIP_TD = "clip_td 300 s10 scenes_vqa"


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """Replaces pytest's own, which other users cannot enter."""
    with ordinary_user.reachable() as folder:
        (folder / "project").mkdir()
        yield folder / "project"


def run(module: str, *arguments: str, user: list[str], **variables: str | None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), **variables}
    environment = {key: value for key, value in environment.items() if value is not None}
    command = [*user, sys.executable, "-m", f"vlkd_steps.cli.{module}", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become a user id without a name")
def test_a_user_id_without_a_name_or_a_home(make_run: MakeRun, uri: str, tracked: Tracked, tmp_path: Path) -> None:
    make_run()
    root = Path(__file__).parents[2]
    for name in ("params.yaml", "requirements.lock"):
        shutil.copyfile(root / name, tmp_path / name)
    shutil.copytree(root / "profiles", tmp_path / "profiles")
    (tmp_path / "local").mkdir()
    ordinary_user.give(tmp_path, ordinary_user.NAMELESS)
    user = ordinary_user.command(ordinary_user.NAMELESS)
    nothing = {"HOME": None, "MPLCONFIGDIR": None, "VLKD_LOCAL": str(tmp_path / "local")}
    done = run("track", "scenes", user=user, **nothing)
    assert (done.returncode, len(done.stderr.splitlines())) == (0, 1), done.stderr
    assert set(tracked(uri)) == {CLIP_TD}
    assert not (tmp_path / "~").exists()
    done = run("doctor", user=user, **nothing)
    assert "\n  fail  home" in done.stdout, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].endswith("1 failed"), done.stdout + done.stderr


def test_in_a_read_only_folder_the_file_is_on_this_machine(
    make_run: MakeRun, empty_database: Path, tmp_path: Path, tracked: Tracked
) -> None:
    make_run()
    shutil.copyfile(empty_database, tmp_path / "mlflow.db")  # the owner's, which is not changed
    local, home = tmp_path.parent / "local", tmp_path / "home"
    local.mkdir()
    home.mkdir()
    ordinary_user.give(local)
    if os.getuid() == 0:
        ordinary_user.give(tmp_path, 0)
    folders = [tmp_path, home]
    before = (tmp_path / "mlflow.db").read_bytes()
    for folder in folders:
        folder.chmod(0o555)
    try:
        variables = {"VLKD_LOCAL": str(local), "HOME": str(home), "MLFLOW_TRACKING_URI": None, "MPLCONFIGDIR": None}
        done = run("track", "scenes", user=ordinary_user.command(), **variables)
    finally:
        for folder in folders:
            folder.chmod(0o755)
    assert (done.returncode, len(done.stderr.splitlines())) == (0, 2), done.stderr
    assert done.stderr.startswith(f"this folder cannot be written to: MLflow's file is {local}/")
    (database,) = local.glob("vlkd-*/*/mlflow.db")
    assert set(tracked(f"sqlite:///{database}")) == {CLIP_TD}
    assert (tmp_path / "mlflow.db").read_bytes() == before
    assert not (tmp_path / ".vlkd").exists()


@pytest.mark.parametrize("kept", ["mlflow.db", "mlartifacts", "lock"])
def test_files_of_another_user_are_named(make_run: MakeRun, uri: str, tmp_path: Path, kept: str) -> None:
    make_run()
    lock = tracker_lock.path(address.DEFAULT_URI, "scenes")
    lock.parent.mkdir()
    lock.touch()
    (tmp_path / "mlartifacts").mkdir()
    ordinary_user.give(tmp_path)
    path = {"mlflow.db": tmp_path / "mlflow.db", "mlartifacts": tmp_path / "mlartifacts", "lock": tmp_path / lock}[kept]
    if os.getuid() == 0:
        os.chown(path, 0, 0)
    path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        done = run("track", "scenes", user=ordinary_user.command(), MLFLOW_TRACKING_URI=None)
    finally:
        path.chmod(0o755)
    assert done.returncode == 2, done.stderr
    (line,) = [each for each in done.stderr.splitlines() if each.startswith("error: ")]
    assert path.name in line
    assert "Traceback" not in done.stderr
    assert file_system.of(tmp_path).shared is False
