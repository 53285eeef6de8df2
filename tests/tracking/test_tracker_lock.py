"""One tracker per experiment and MLflow file, whichever way the file is named and whichever project names it."""

from pathlib import Path

import pytest

from vlkd_steps.core import layout
from vlkd_steps.tracking import tracker_lock


@pytest.fixture
def projects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Two projects; the first is the current directory."""
    found = [tmp_path / "one", tmp_path / "two"]
    for project in found:
        project.mkdir()
    monkeypatch.chdir(found[0])
    return found


def test_an_address_that_is_written_in_two_ways_has_one_lock(projects: list[Path], tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(projects[0])
    names = ["mlflow.db", "./mlflow.db", f"{projects[0]}/mlflow.db", f"{tmp_path}/link/mlflow.db", "../one/mlflow.db"]
    [lock] = {tracker_lock.path(f"sqlite:///{name}", "scenes") for name in names}
    assert lock.parent == layout.MACHINE
    assert tracker_lock.path("http://node:5000/", "scenes") == tracker_lock.path("http://node:5000", "scenes")


@pytest.mark.parametrize("name", ["mlflow.db", "db/mlflow.db"])
def test_another_project_shares_the_lock_of_a_file_in_this_one(
    projects: list[Path], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (projects[0] / "db").mkdir()
    uri = f"sqlite:///{projects[0]}/{name}"
    here = tracker_lock.path(uri, "scenes").absolute()
    monkeypatch.chdir(projects[1])
    assert tracker_lock.path(uri, "scenes").absolute() == here


def test_projects_that_use_one_file_share_its_locks_but_not_what_they_remember(
    projects: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = f"sqlite:///{tmp_path}/all.db"
    here = [tracker_lock.path(uri, name) for name in ("scenes", "")]  # the latter while the file is made
    memory = tracker_lock.memory(uri, "scenes").absolute()
    monkeypatch.chdir(projects[1])
    assert [tracker_lock.path("sqlite:///../all.db", name) for name in ("scenes", "")] == here
    assert {lock.parent for lock in here} == {tmp_path / ".vlkd"}
    assert memory.is_relative_to(projects[0])
    assert tracker_lock.memory(uri, "scenes").absolute().is_relative_to(projects[1])
