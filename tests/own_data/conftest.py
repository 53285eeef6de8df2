"""A project's folder, and the folder of a user's files beside it."""

from pathlib import Path

import pytest


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: a project whose own files are in conf/."""
    folder = tmp_path / "project"
    (folder / "conf").mkdir(parents=True)
    (folder / "params.yaml").write_text("{experiment: scenes_smoke, conf: [conf], grid: {}, overrides: {}}")
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """Where the user's files are."""
    folder = tmp_path / "mine"
    folder.mkdir()
    return folder
