"""What DVC's cache adds to the disk space of a plan."""

import pytest

from vlkd_steps.checks import versioning
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
