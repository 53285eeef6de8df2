from pathlib import Path

import pytest
import yaml
from compositions import PARAMS
from user_files import Project


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.chdir(tmp_path)
    return Project(tmp_path)


@pytest.fixture
def params(tmp_path: Path):
    def write(**changes: object) -> Path:
        path = tmp_path / "params.yaml"
        path.write_text(yaml.safe_dump({**PARAMS, **changes}))
        return path

    return write
