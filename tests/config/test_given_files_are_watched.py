"""Files of the user's that students and teachers name: an edit makes the jobs run again that read them."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from user_files import DATASET, GRID, Project

from vlkd_steps.config import phases, users_files
from vlkd_steps.config.models.composition import Composition
from vlkd_steps.core import components

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


def test_an_edit_in_the_folder_of_a_clip_changes_what_its_features_are_made_by(
    project: Project, watched: Composition, composed: Callable[..., Composition]
) -> None:
    Path("clip").mkdir()
    weights = Path("clip/open_clip_model.safetensors")
    weights.write_text("weights")
    project.conf("teacher/ours.yaml", f"{TEACHER}model: local-dir:clip\n".replace("ours.safetensors", "null"))
    c = composed(overrides=VARIANTS)
    before = made_by(c, "extract")
    weights.write_text("others")
    assert made_by(c, "extract") != before


@pytest.mark.parametrize(
    ("keys", "name"),
    [
        ("weights: nowhere.pth", "nowhere.pth"),
        ("{model: 'local-dir:nowhere', weights: null}", "nowhere"),
        ("by_dataset: {scenes_smoke_vqa: {weights: other.safetensors}}", "other.safetensors"),
    ],
)
def test_missing_weights_of_a_teacher_are_reported_before_any_job(
    project: Project, composed: Callable[..., Composition], monkeypatch: pytest.MonkeyPatch, keys: str, name: str
) -> None:
    monkeypatch.chdir(project.folder)
    written = yaml.safe_load(TEACHER) | yaml.safe_load(keys)
    project.conf("teacher/ours.yaml", yaml.safe_dump(written))
    Path("ours.safetensors").touch()
    found = users_files.missing(composed(overrides=VARIANTS))["extract"]
    assert f"{name}: missing" in found["ours scenes_smoke_vqa"]


def test_weights_in_a_package_or_made_here_are_not_missing(composed: Callable[..., Composition]) -> None:
    c = composed(grid={**GRID, "variant": ["mad"]}, overrides={"variants.mad.teacher.text": "clip_scenes_again"})
    assert users_files.missing(c)["extract"] == {}
    c = composed(overrides={"teachers.clip_scenes.weights": "models/clip_scenes_again/model.safetensors"})
    assert "clip_scenes scenes_smoke_vqa" in users_files.missing(c)["extract"]  # nothing here makes another's weights


def test_files_that_a_measure_reads(
    project: Project, composed: Callable[..., Composition], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project.folder)
    glue = Path("glue/rte/train.csv")
    glue.parent.mkdir(parents=True)
    glue.write_text("1")
    extra = {"extra_evals.scenes_wide_captions.glue": {"measure": "glue", "folder": "glue"}}
    c = composed(experiment="scenes_vlkd", grid={"seed": [1]}, overrides=extra)
    before, others = made_by(c, "distill"), made_by(c, "extract")
    glue.write_text("2")
    changed = made_by(c, "distill") - before
    assert len(changed) == sum(cell.dataset == "scenes_wide_captions" for cell in c.cells)
    assert made_by(c, "extract") == others


def test_files_that_a_source_of_a_plugin_names_are_watched(
    project: Project, composed: Callable[..., Composition], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project.folder)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv(components.VARIABLE, "")
    code = "def fetch(source, folder):\n    pass\n\n\ndef inputs(source):\n    return [source['table'], 'absent.csv']\n"
    Path("plugin_that_reads/sources").mkdir(parents=True)
    Path("plugin_that_reads/sources/tables.py").write_text(code)
    Path("table.csv").write_text("1,2")
    project.conf("source/mine.yaml", "name: mine\nkind: tables\ntable: table.csv\n")
    project.conf("dataset/mine.yaml", DATASET.replace("source: scenes_smoke", "source: mine"))
    c = composed(grid={**GRID, "dataset": ["mine"]}, plugins=["plugin_that_reads"])
    assert users_files.incoming(c, "mine") == ["table.csv"]
    assert users_files.copied(c, "mine") == {}
    before = users_files.listing(c, "mine")
    Path("table.csv").write_text("1,2,3")
    assert users_files.listing(c, "mine") != before
    components.forget()
