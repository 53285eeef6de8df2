"""Checkouts of the project for tests that drive it from outside."""

from pathlib import Path

import pytest
from pipeline_project import Project, checkout
from shared_projects import NAME
from shared_projects import finished_project as finished_project


@pytest.fixture(scope="session")
def new_project(root: Path, tmp_path_factory: pytest.TempPathFactory):
    """Makes a checkout of the working tree in a new folder."""

    def make(name: str) -> Project:
        return checkout(root, tmp_path_factory.mktemp(name) / NAME)

    return make
