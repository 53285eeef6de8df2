"""Projects that several test files start from, made once for all test processes."""

from collections.abc import Callable
from pathlib import Path

import pytest
import shared_folders
from own_data import start
from pipeline_project import Project, checkout

NAME = "it's a žproj ect"
"""A folder's name that every command line has to quote."""


def made_once(name: str, factory: pytest.TempPathFactory, make: Callable[[Path], None]) -> Project:
    """The project that the first test process makes and the others wait for. Work on a copy."""
    return Project(shared_folders.made_once(f"{name}/{NAME}", factory, make))


@pytest.fixture(scope="session")
def finished_project(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A user's own small data, and all results of two methods on them, recorded in DVC and git. Work on a copy."""

    def make(folder: Path) -> None:
        project = start(checkout(root, folder))
        project.snakemake()
        project.commit("Results")

    return made_once("finished", tmp_path_factory, make)
