import os
import subprocess
import sys
from pathlib import Path

import ordinary_user
import pytest

from vlkd_steps.core import home


def test_a_home_directory_that_can_be_written_to_is_unchanged(tmp_path: Path) -> None:
    environment = {"HOME": str(tmp_path), "VLKD_LOCAL": str(tmp_path / "local")}
    home.provide(environment)
    assert environment == {"HOME": str(tmp_path), "VLKD_LOCAL": str(tmp_path / "local")}
    assert not (tmp_path / "local").exists()


def test_a_home_directory_that_is_not_there_is_replaced(tmp_path: Path) -> None:
    environment = {"HOME": "/nonexistent", "VLKD_LOCAL": str(tmp_path)}
    home.provide(environment)
    folder = Path(environment["HOME"])
    assert folder.parent == tmp_path
    assert folder.stat().st_mode & 0o777 == 0o700
    assert environment["MPLCONFIGDIR"] == str(folder / "matplotlib")
    chosen = {"HOME": "/nonexistent", "MPLCONFIGDIR": "/mine", "VLKD_LOCAL": str(tmp_path)}
    home.provide(chosen)
    assert chosen["MPLCONFIGDIR"] == "/mine"


def test_a_read_only_home_directory_is_read_and_caches_go_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    monkeypatch.setattr("vlkd_steps.core.files.writable", lambda path: path != theirs)
    environment = {"HOME": str(theirs), "VLKD_LOCAL": str(tmp_path)}
    home.provide(environment)
    folder = tmp_path / f"vlkd-home-{os.getuid()}"
    assert environment["HOME"] == str(theirs)
    assert environment["HF_HOME"] == str(theirs / ".cache/huggingface")
    assert environment["XDG_CACHE_HOME"] == str(folder / "cache")


def test_a_folder_that_others_may_write_to_is_not_taken(tmp_path: Path) -> None:
    folder = tmp_path / f"vlkd-home-{os.getuid()}"
    folder.mkdir()
    folder.chmod(0o777)
    assert home.private({"VLKD_LOCAL": str(tmp_path)}) is None
    folder.rmdir()
    folder.symlink_to(tmp_path)
    assert home.private({"VLKD_LOCAL": str(tmp_path)}) is None
    environment = {"HOME": "/nonexistent", "VLKD_LOCAL": str(tmp_path)}
    home.provide(environment)
    assert "MPLCONFIGDIR" not in environment


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become a user id without a name")
def test_a_user_id_without_a_name_gets_a_home(tmp_path: Path) -> None:
    ordinary_user.give(tmp_path, ordinary_user.NAMELESS)
    code = "from pathlib import Path; from vlkd_steps.core import home; home.provide(); print(Path.home())"
    environment = {key: value for key, value in os.environ.items() if key not in ("HOME", "MPLCONFIGDIR")}
    environment |= {"VLKD_LOCAL": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [*ordinary_user.command(ordinary_user.NAMELESS), sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(tmp_path / f"vlkd-home-{ordinary_user.NAMELESS}")
