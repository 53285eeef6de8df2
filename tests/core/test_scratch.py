import json
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from vlkd_steps.core import scratch, step
from vlkd_steps.core.scratch import local_copy

COPY = """
import json, sys
from pathlib import Path
from vlkd_steps.core import step
from vlkd_steps.core.scratch import local_copy
step.log_to(None)
sys.stdin.read(1)
places = local_copy([Path(name) for name in json.loads(sys.argv[1])])
print(json.dumps({str(path): place.read_text() for path, place in places.items()}))
"""


@pytest.fixture
def hot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Three files of the project, which is the current folder."""
    (tmp_path / "project" / "data").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "project")
    paths = [Path("data") / name for name in ("b.png", "a.png", "c.npy")]
    for path in paths:
        path.write_text(f"content of {path.name}")
    return paths


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The node's own disk, as a batch system would name it."""
    monkeypatch.setenv("SLURM_TMPDIR", str(tmp_path / "node"))
    monkeypatch.setenv("VLKD_SCRATCH", "$SLURM_TMPDIR/vlkd")
    return tmp_path / "node" / "vlkd"


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """What was logged."""
    caplog.set_level(logging.INFO, logger=step.log.name)
    return caplog


def test_without_the_variable_files_stay_where_they_are(hot: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VLKD_SCRATCH", raising=False)
    assert local_copy([*hot, Path("not/there")]) == {path: path for path in [*hot, Path("not/there")]}


def test_files_are_read_from_the_nodes_disk(hot: list[Path], node: Path, said: pytest.LogCaptureFixture) -> None:
    places = local_copy(hot)
    assert list(places) == sorted(hot)
    for path in hot:
        assert places[path].is_relative_to(node)
        assert places[path].suffix == path.suffix
        assert places[path].read_bytes() == path.read_bytes()
    assert local_copy(reversed(hot)) == places
    assert said.text.count("3 files, 0.00 GB, copied to") == 1


def test_two_processes_of_a_node_copy_once(hot: list[Path], node: Path, root: Path) -> None:
    hot += [Path("data") / f"{number}.png" for number in range(300)]
    for path in hot:
        path.write_text(f"content of {path.name}")
    command = [sys.executable, "-c", COPY, json.dumps([str(path) for path in hot])]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    both = [subprocess.Popen(command, env=environment, text=True, **pipes) for _ in range(2)]  # type: ignore[call-overload]
    for process in both:
        process.stdin.write("x")
        process.stdin.flush()
    results = [process.communicate(timeout=120) for process in both]
    assert [json.loads(out) for out, _ in results] == [
        {str(path): f"content of {path.name}" for path in sorted(hot)}
    ] * 2
    assert sum(err.count("copied to") for _, err in results) == 1, results


def test_too_little_space(hot: list[Path], node: Path, said: pytest.LogCaptureFixture) -> None:
    with Path("data/huge.npy").open("wb") as stream:
        stream.truncate(shutil.disk_usage(".").free - scratch.SPARE // 2)  # a hole: takes no space here
    hot.append(Path("data/huge.npy"))
    assert local_copy(hot) == {path: path for path in hot}
    assert "4 files are read where they are: cannot copy to" in said.text
    assert "GB to copy" in said.text
    assert [path for path in node.iterdir() if path.suffix != ".lock"] == []


def test_a_changed_file_is_copied_again(hot: list[Path], node: Path) -> None:
    before = local_copy(hot, ["version 1"])
    hot[0].write_text("another size")
    longer = local_copy(hot, ["version 1"])
    assert longer[hot[0]].read_text() == "another size"
    hot[0].write_text("same__size__")
    assert local_copy(hot, ["version 2"])[hot[0]].read_text() == "same__size__"
    assert before[hot[0]].read_text() == "content of b.png", "who still reads the old copy is not disturbed"


def test_what_a_cleaner_took_is_copied_again(hot: list[Path], node: Path) -> None:
    places = local_copy(hot)
    places[hot[1]].unlink()
    assert local_copy(hot) == places
    assert places[hot[1]].read_bytes() == hot[1].read_bytes()


def test_what_a_killed_process_left_is_no_copy(hot: list[Path], node: Path) -> None:
    folder = local_copy(hot)[hot[0]].parent
    folder.rename(folder.with_suffix(".partial"))
    (folder.with_suffix(".partial") / "00000001.png").write_text("half")
    assert local_copy(hot)[hot[0]].read_bytes() == hot[0].read_bytes()
    assert not folder.with_suffix(".partial").exists()


def test_a_variable_that_the_node_does_not_set(
    hot: list[Path], monkeypatch: pytest.MonkeyPatch, said: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("VLKD_SCRATCH", "$NO_SUCH_VARIABLE/vlkd")
    assert local_copy(hot) == {path: path for path in hot}
    assert "VLKD_SCRATCH=$NO_SUCH_VARIABLE/vlkd names a variable not set here" in said.text


def test_a_folder_that_cannot_be_made(hot: list[Path], node: Path, said: pytest.LogCaptureFixture) -> None:
    node.parent.write_text("a file is in the way")
    assert local_copy(hot) == {path: path for path in hot}
    assert "3 files are read where they are: cannot copy to" in said.text


def test_a_missing_file_is_left_to_its_reader(hot: list[Path], node: Path) -> None:
    hot[0].unlink()
    assert local_copy(hot) == {path: path for path in hot}
