"""A trained run on a data set of a few images."""

import json
from pathlib import Path
from typing import Any

import pytest
from toy_project import job, project

from vlkd_steps.core import layout
from vlkd_steps.steps import distill

__all__ = ["job", "project", "run"]


@pytest.fixture
def run(project: Path, job: dict[str, Any]) -> Path:
    """The folder of a finished run, from the current directory."""
    assert distill.main(["--config", json.dumps(job)]) == 0
    return layout.run("toys", "toy", "vilt_toy", "finetune", "30", 1)
