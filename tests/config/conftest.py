from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from compositions import PARAMS
from user_files import Project

from vlkd_steps.config import composition
from vlkd_steps.config.models.composition import Composition


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


@pytest.fixture
def composed(project: Project) -> Callable[..., Composition]:
    """params.yaml with these changes, composed."""

    def compose(**changes: Any) -> Composition:
        project.params(**changes)
        return composition.compose(project.folder / "params.yaml")

    return compose
