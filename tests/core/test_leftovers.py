import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vlkd_steps.core import files, layout, leftovers

KILLED = """
import os, signal, sys
from pathlib import Path
from vlkd_steps.core import files
with files.atomic(Path(sys.argv[1])) as temporary:
    temporary.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("name", ["test.parquet", "train-40-s1.parquet"])
def test_what_a_killed_process_was_writing_is_removed(tmp_path: Path, root: Path, name: str) -> None:
    target = tmp_path / "splits" / name
    process = subprocess.run([sys.executable, "-c", KILLED, str(target)], env={"PYTHONPATH": str(root)}, check=False)
    assert process.returncode == -signal.SIGKILL
    [left] = target.parent.iterdir()
    assert left != target
    assert leftovers.remove(tmp_path) == 1
    assert list(target.parent.iterdir()) == []


def test_an_experiment_writes_below_these_folders() -> None:
    written = layout.written("scenes")
    for path in (layout.phase_manifest("scenes", "split"), layout.instances("toy"), layout.results("scenes") / "x"):
        assert any(path.is_relative_to(folder) for folder in written), path


def test_what_a_process_is_writing_stays(tmp_path: Path) -> None:
    with files.atomic(tmp_path / "a.json") as temporary:
        temporary.write_text("{}")
        assert leftovers.remove(tmp_path) == 0
    assert (tmp_path / "a.json").read_text() == "{}"


@pytest.mark.parametrize(("hours", "removed"), [(1, 0), (25, 1)])
def test_a_file_of_another_machine_is_removed_after_a_day(tmp_path: Path, hours: int, removed: int) -> None:
    path = tmp_path / ".tmp-node-7-1-abcd_123.a.json"
    path.touch()
    os.utime(path, (time.time() - 3600 * hours,) * 2)
    assert leftovers.remove(tmp_path) == removed
    assert path.exists() != bool(removed)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS])
def test_a_file_that_this_user_cannot_remove_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    for folder in ("mine", "theirs"):
        path = tmp_path / folder / ".tmp-node-7-1-abcd_123.a.json"
        path.parent.mkdir()
        path.touch()
        os.utime(path, (1e9, 1e9))
    unlink = Path.unlink

    def refused(path: Path, missing_ok: bool = False) -> None:
        if path.parent.name == "theirs":
            raise OSError(number, os.strerror(number), str(path))
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", refused)
    assert leftovers.remove(tmp_path) == 1
    assert [path.parent.name for path in tmp_path.rglob(".tmp-*")] == ["theirs"]


@pytest.mark.parametrize("name", ["a.json", ".tmp", ".tmp-notes.txt", ".a.json.x7.json", "tmp-node-7-x.a.json"])
def test_other_files_stay(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    assert leftovers.remove(tmp_path) == 0
    assert (tmp_path / name).exists()
