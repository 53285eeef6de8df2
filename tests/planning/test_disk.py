"""The disk space of a plan: what DVC's cache adds, and what the user's own files take."""

import dataclasses
from pathlib import Path

import pytest

from vlkd_steps.checks import versioning
from vlkd_steps.config import composition
from vlkd_steps.config.models.source import Local
from vlkd_steps.graph.dry_run import Job
from vlkd_steps.planning import disk


def test_copies_in_dvcs_cache_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    added = [{"folder": "runs/a", "gb": 1.5, "from": ""}, {"folder": "features/b", "gb": None, "from": ""}]
    monkeypatch.setattr(versioning, "doubles", lambda root: root / ".dvc/cache")
    [entry] = disk.recorded(added)
    assert (entry["folder"], entry["gb"]) == (".dvc/cache", 1.5)
    assert disk.recorded(added[1:])[0]["gb"] is None
    assert disk.recorded([]) == []
    monkeypatch.setattr(versioning, "doubles", lambda root: None)
    assert disk.recorded(added) == []


@pytest.mark.parametrize(("transfer", "gb"), [("copy", 3e-9), ("hardlink", 0.0)])
def test_the_users_own_files_are_counted_that_are_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, transfer: str, gb: float
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text("experiment: scenes_smoke\n")
    Path("photos").mkdir()
    Path("photos/a.jpg").write_text("abc")
    Path("photos/notes.txt").write_text("not chosen")
    mine = Local(name="mine", kind="local", path="photos", files=("*.jpg",), transfer=transfer)
    c = dataclasses.replace(composition.compose(), sources={"mine": mine})
    job = Job("download", {"source": "mine"})
    [entry] = disk.folders(c, [job], {})
    assert (entry["folder"], entry["gb"]) == ("data/raw/mine", gb)
    assert disk._own(mine) == 3e-9
