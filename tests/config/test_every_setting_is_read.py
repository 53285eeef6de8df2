"""No setting of a configuration file is dropped on its way: some code reads it, and the job that needs it has it."""

import ast
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from vlkd_steps.config import composition, jobs
from vlkd_steps.config.models import base, dataset, preset, recipe, source, student, teacher  # noqa: F401 (subclasses)
from vlkd_steps.config.models.composition import Cell, Composition
from vlkd_steps.config.models.method import declaration

ELSEWHERE: dict[str, Mapping[str, str]] = {
    "teachers": {
        "pretrain": "jobs.pretrain",
        "workers": "jobs.readers, a resource",
        "by_dataset": "merged by jobs.extract",
    },
    "students": {
        "pretrain": "jobs.pretrain",
        "recipe": "merged by precedence.recipe",
        "by_task": "merged by jobs.distill",
    },
    "sources": {"about_gb": "planning.disk"},
    "datasets": {"visual_words": "jobs.targets, as the words themselves"},
}
"""Keys that are in no job's argument under their own name, and what reads them."""


def models(root: type[base.Model] = base.Model) -> Iterator[type[base.Model]]:
    for model in root.__subclasses__():
        yield model
        yield from models(model)


def named(tree: ast.AST) -> Iterator[str]:
    """Attributes that are read, texts and keyword arguments."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
            yield node.attr
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif (isinstance(node, ast.keyword) and node.arg) or isinstance(node, ast.arg):
            yield node.arg


@pytest.fixture(scope="module")
def read(root: Path) -> set[str]:
    """What the package's code names, apart from the models that declare the settings."""
    package = root / "vlkd_steps"
    found: set[str] = set()
    for path in sorted(package.rglob("*.py")):
        if path.parent != package / "config" / "models":
            found.update(named(ast.parse(path.read_text())))
    return found | set(named(ast.parse((package / "config" / "models" / "recipe.py").read_text())))


def test_code_reads_every_key_that_a_model_allows(read: set[str]) -> None:
    unread = {
        f"{model.__name__}.{field.alias or name}"
        for model in models()
        if model.__module__.startswith("vlkd_steps.")
        and not model.__name__.endswith("Architecture")  # given whole to the library that builds the model
        for name, field in model.model_fields.items()
        if not {name, field.alias or name} & read
    }
    assert not unread
    assert "no_such_setting" not in read


def test_code_reads_every_key_of_the_shipped_files(root: Path, read: set[str]) -> None:
    for path in sorted((root / "vlkd_steps" / "conf").glob("*/*.yaml")):
        if path.parent.name != "experiment":
            assert not set(yaml.safe_load(path.read_text())) - read - {"defaults"}, path


def given(c: Composition) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Section, member and what a job is given of it."""
    for name in c.sources:
        yield "sources", name, jobs.download(c, name)["source"]
    for name in c.datasets:
        yield "datasets", name, jobs.prepare(c, name)["dataset"]
        yield "datasets", name, jobs.split_train(c, name, "40")["dataset"]
        for each in c.datasets[name].evaluation_sets or ():
            yield "datasets", name, jobs.split_eval(c, name, each)["dataset"]
        for each in c.teachers:
            found = jobs.extract(c, each, name)
            yield "teachers", each, found["teacher"]
            yield "datasets", name, found["dataset"]
    for cell in c.cells:
        found = jobs.distill(c, cell)
        yield "datasets", cell.dataset, found["dataset"]
        yield "students", cell.student, found["student"]


QUICK = ("scenes", "paper_vqa", "paper_vlkd_b16")


@pytest.fixture
def composed(tmp_path: Path) -> Callable[[str], Composition]:
    path = tmp_path / "params.yaml"
    path.write_text("{experiment: scenes, grid: {}, overrides: {}}")
    return lambda name: composition.compose(path, experiment=name)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in QUICK else pytest.mark.exhaustive)
        for name in composition.options("experiment")
    ],
)
def test_every_setting_of_a_member_reaches_the_jobs_that_use_it(
    composed: Callable[[str], Composition], name: str
) -> None:
    c = composed(name)
    reached: dict[tuple[str, str], set[str]] = {}
    for section, member, part in given(c):
        reached.setdefault((section, member), set()).update(part)
    assert {section for section, _ in reached} >= {"sources", "datasets", "students"}
    for (section, member), keys in reached.items():
        dropped = set(getattr(c, section)[member].written()) - keys - set(ELSEWHERE[section])
        assert not dropped, (section, member)


def test_a_teachers_readers_are_a_resource_of_the_jobs_in_which_it_reads(
    composed: Callable[[str], Composition],
) -> None:
    c = composed("paper_vqa")
    assert jobs.readers(c, "clip_vit_b16", "vqa_v2") == "4"
    assert "workers" not in jobs.extract(c, "clip_vit_b16", "vqa_v2")["teacher"]
    c = composed("paper_vlkd_b16")
    for cell in c.cells:
        classifies = declaration(c.variants[cell.variant].method).runner == "classify"
        reads = isinstance(c.variants[cell.variant].teacher, str) and not classifies
        assert jobs.readers_of_a_run(c, cell) == ("4" if reads else "")
    assert any(jobs.readers_of_a_run(c, cell) for cell in c.cells)
    assert jobs.readers_of_a_run(composed("scenes"), Cell("scenes_vqa", "vilt_scenes", "clip_td", "100")) == ""
