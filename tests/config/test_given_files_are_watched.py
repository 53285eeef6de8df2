"""Files of the user's that students and teachers name: an edit makes the jobs run again that read them."""

from collections.abc import Callable
from pathlib import Path

import pytest
from user_files import GRID, Project

from vlkd_steps.config import phases, users_files
from vlkd_steps.config.models.composition import Composition

STUDENT = "defaults: [vilt_scenes, _self_]\nname: mine\nvocabulary: words.txt\n"
TEACHER = "defaults: [clip_scenes, _self_]\nname: ours\nweights: ours.safetensors\n"
VARIANTS = {"variants.clip_td.teacher": "ours"}


@pytest.fixture
def watched(project: Project, composed: Callable[..., Composition], monkeypatch: pytest.MonkeyPatch) -> Composition:
    monkeypatch.chdir(project.folder)
    project.conf("student/mine.yaml", STUDENT)
    project.conf("teacher/ours.yaml", TEACHER)
    Path("words.txt").write_text("one two")
    Path("ours.safetensors").write_text("weights")
    return composed(grid={**GRID, "student": ["mine"]}, overrides=VARIANTS)


def made_by(c: Composition, phase: str) -> set[str]:
    return {job.made_by for job in phases.of_phase(c, phase)}


@pytest.mark.parametrize(
    ("name", "phase", "others"), [("words.txt", "distill", "extract"), ("ours.safetensors", "extract", "distill")]
)
def test_an_edit_changes_what_its_jobs_are_made_by(watched: Composition, name: str, phase: str, others: str) -> None:
    before, rest = made_by(watched, phase), made_by(watched, others)
    Path(name).write_text("edited")
    assert made_by(watched, phase) != before
    assert made_by(watched, others) == rest


def test_a_missing_vocabulary_is_reported_before_any_job(watched: Composition) -> None:
    Path("words.txt").unlink()
    assert "words.txt: missing" in users_files.missing(watched)["distill"]["mine"]
