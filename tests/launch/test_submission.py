"""The folder of a submission."""

import shutil
from pathlib import Path

import pytest

from vlkd_steps.checks import slurm
from vlkd_steps.checks.profile import Profile
from vlkd_steps.core.errors import UserError
from vlkd_steps.launch.slurm import queue, sbatch
from vlkd_steps.launch.slurm.queue import Queue, Seen
from vlkd_steps.launch.slurm.request import Request
from vlkd_steps.launch.slurm.submission import Record, Submission
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


def _running(name: str) -> dict[str, Seen]:
    return {"4711": Seen("4711", "RUNNING", "gpu", "3:12:00", "4:00:00", "node7", "None", name)}


def _submission(project: Path) -> Submission:
    part = Part("s1", {}, "key", lambda: False)
    return Submission(Work("module:job", "a job", project / "jobs", {}, [part]), Request(), Queue(1))


def _submitted(project: Path) -> Submission:
    """As after sbatch: job 4711 is recorded."""
    made = _submission(project)
    made.name, made.array, made.records = f"{made.names}-1", ["s1"], {"s1": Record("4711", "key")}
    made.save()
    return made


def _cancelled(by: Submission, seen: dict[str, Seen], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    asked: list[str] = []
    monkeypatch.setattr(queue, "cancel", lambda ids, jobs: asked.extend(ids) or [])
    monkeypatch.setattr(by.jobs, "since", lambda moment: seen)
    by.cancel()
    return asked


def test_a_copied_project_leaves_the_jobs_of_the_original_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = _submitted(tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    copy = _submission(tmp_path / "b")
    assert (copy.records, copy.foreign) == ({}, ["4711"])
    assert _cancelled(copy, _running(original.name), monkeypatch) == []
    again = _submission(tmp_path / "a")
    assert (set(again.records), again.foreign) == ({"s1"}, [])
    assert _cancelled(again, _running(original.name), monkeypatch) == ["4711"]


def test_an_id_that_another_job_has_now_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _submitted(tmp_path)
    later = _submission(tmp_path)
    assert _cancelled(_submission(tmp_path), _running("a notebook"), monkeypatch) == []
    later.adopt(_running("a notebook"))
    assert (later.records, later.foreign) == ({}, ["4711"])
