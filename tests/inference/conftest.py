"""A trained run on a data set of a few images."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from toy_project import job, project
from tracked_runs import empty_database, uri

from vlkd_steps.core import files, layout
from vlkd_steps.steps import distill

__all__ = ["empty_database", "job", "project", "run", "uri"]


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copies of runs by a hash of their jobs: training one takes longer than most tests here."""
    return tmp_path_factory.mktemp("trained")


@pytest.fixture
def run(project: Path, job: dict[str, Any], trained: Path) -> Path:
    """The folder of a finished run, from the current directory."""
    folder, copy = layout.run("toys", "toy", "vilt_toy", "finetune", "30", 1), trained / files.digest(job)
    if copy.is_dir():
        shutil.copytree(copy, folder)
    else:
        assert distill.main(["--config", json.dumps(job)]) == 0
        shutil.copytree(folder, copy)
    return folder
