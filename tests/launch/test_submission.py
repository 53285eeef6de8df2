"""The folder of a submission."""

import shutil
from pathlib import Path

import pytest

from vlkd_steps.checks import slurm
from vlkd_steps.checks.profile import Profile
from vlkd_steps.core.errors import UserError
from vlkd_steps.launch.slurm import sbatch
from vlkd_steps.launch.slurm.queue import Queue
from vlkd_steps.launch.slurm.request import Request
from vlkd_steps.launch.slurm.submission import Submission
from vlkd_steps.launch.work import Part, Work


@pytest.mark.parametrize("name", ["50%j x", "505%", "50% done", "back\\slash", "two\nlines"])
def test_a_folder_whose_name_sbatch_would_expand_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda program: f"/usr/bin/{program}")
    part = Part("s1", {}, "key", lambda: False)
    work = Work("module:job", "a job", tmp_path / name / "jobs", {}, [part])
    with pytest.raises(UserError, match=r"a character that sbatch takes for a pattern; move the project"):
        Submission(work, Request(), Queue(1)).submit([part])


def test_other_folders_are_not(tmp_path: Path) -> None:
    assert sbatch.pattern_in(Path("/home/ada/it's a žproj ect, #1 (new)")) is None


def test_the_doctor_names_such_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda program: None)
    (tmp_path / "50%j").mkdir()
    monkeypatch.chdir(tmp_path / "50%j")
    found = slurm.check(Profile(Path("config.yaml"), {"executor": "slurm"}), 1.0)
    assert (found[0].level, found[0].subject) == ("fail", "this folder")
