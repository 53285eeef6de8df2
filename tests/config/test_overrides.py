"""The overrides of params.yaml: how they are written, and where they arrive."""

from typing import Any

import pytest
from compositions import PARAMS
from user_files import PRESET, Project

from vlkd_steps.config import composition, jobs, overrides
from vlkd_steps.config.models.composition import Cell, Composition
from vlkd_steps.core.errors import UserError


@pytest.mark.parametrize(
    ("dotted", "nested"),
    [
        ({"variants.clip_td.lambda0": 3}, {"variants": {"clip_td": {"lambda0": 3}, "finetune": {}}}),
        (
            {"variants.clip_td.lambda0": 3, "training.steps": 8},
            {"variants": {"clip_td.lambda0": 3}, "training.steps": 8},
        ),
        ({"variants.clip_td.by_task.vqa.lambda0": 3}, {"variants.clip_td": {"by_task": {"vqa": {"lambda0": 3}}}}),
        ({"variants.mad.teacher.text": "clip_scenes"}, {"variants": {"mad": {"teacher": {"text": "clip_scenes"}}}}),
        (
            {"datasets.scenes_smoke_vqa.roles.dev.share": 0.5},
            {"datasets.scenes_smoke_vqa.roles": {"dev": {"share": 0.5}}},
        ),
    ],
)
def test_nested_overrides_are_dotted_ones(params, dotted: dict, nested: dict) -> None:
    grid = {**PARAMS["grid"], "variant": ["finetune", "clip_td", "mad"]}
    none, plain, same = (composition.compose(params(overrides=given, grid=grid)) for given in ({}, dotted, nested))
    assert sections_of(same) == sections_of(plain) != sections_of(none)
    assert list(jobs.runs(same)) == list(jobs.runs(plain))


def test_the_value_preset_leaves_the_presets(params) -> None:
    given = {"training": {"steps": "preset"}, "variants.clip_td.lambda0": "preset"}
    none, same = (composition.compose(params(overrides=overrides)) for overrides in ({}, given))
    assert sections_of(same) == sections_of(none)
    assert list(jobs.runs(same)) == list(jobs.runs(none))


def sections_of(c: Composition) -> tuple[Any, ...]:
    return c.training, c.variants, c.datasets


def test_overrides_reach_methods_students_and_training(params) -> None:
    changes = {"variants.clip_td.lambda0": 7, "students.vilt_scenes.architecture.hidden_size": 32, "training.steps": 5}
    composed = composition.compose(params(overrides=changes))
    job = jobs.distill(composed, Cell("scenes_smoke_vqa", "vilt_scenes", "clip_td", "40"))
    assert job["method"]["lambda0"] == 7
    assert job["student"]["architecture"]["hidden_size"] == 32
    assert job["training"]["steps"] == 5


def test_by_shot_reaches_its_jobs_and_no_other(params) -> None:
    changes = {"variants.clip_td.by_shot.40": {"lambda0": 7, "training": {"learning_rate": 0.5}}}
    grid = {**PARAMS["grid"], "shot": [40, "1pct"]}
    composed = composition.compose(params(overrides=changes, grid=grid))
    before = composition.compose(params(grid=grid))
    for cell in composed.cells:
        job = jobs.distill(composed, cell)
        if cell.variant == "clip_td" and cell.shot == "40":
            assert (job["method"]["lambda0"], job["training"]["learning_rate"]) == (7, 0.5)
        else:
            assert job == jobs.distill(before, cell)


@pytest.mark.parametrize(
    "changes",
    [
        {"variants.clip_td.by_shot.0.5pct.lambda0": 7},
        {"variants": {"clip_td": {"by_shot": {"0.5pct": {"lambda0": 7}}}}},
        {"variants.clip_td.by_shot.0.5pct": {"lambda0": 7}},
    ],
)
def test_a_shot_with_a_decimal_point_is_one_part_of_a_key(params, changes: dict) -> None:
    composed = composition.compose(params(overrides=changes, grid={**PARAMS["grid"], "shot": ["0.5pct", "5pct"]}))
    strengths = {cell.shot: jobs.distill(composed, cell)["method"]["lambda0"] for cell in composed.cells
                 if cell.variant == "clip_td"}  # fmt: skip
    assert strengths["0.5pct"] == 7 != strengths["5pct"]


@pytest.mark.parametrize("value", ["6", "'${training.evaluate_every}'"])
def test_a_preset_replaces_an_inherited_override_however_it_is_written(
    project: Project, composed: Any, value: str
) -> None:
    project.conf(
        "experiment/mine.yaml",
        f"{PRESET}overrides:\n  variants: {{clip_td: {{adaptive_steps: {value}}}}}\n"  # dotted in scenes_smoke
        "training: {evaluate_every: 6}\n",
    )
    c = composed(experiment="mine", grid={})
    cell = next(cell for cell in c.cells if cell.variant == "clip_td")
    assert jobs.distill(c, cell)["method"]["adaptive_steps"] == 6


@pytest.mark.parametrize(
    ("given", "facts"),
    [
        ({"datasets.scenes_smoke_vqa.source": "scene"}, ["source names 'scene'", "did you mean 'scenes'"]),
        ({"datasets.scenes_smoke_vqa.image_source": "coco_2041"}, ["'coco_2041'", "did you mean 'coco_2014'"]),
        ({"students.vilt_scenes.regions": "bottom_up"}, ["'bottom_up'"]),
    ],
)
def test_a_member_that_an_override_names_must_exist(params, given: dict, facts: list[str]) -> None:
    with pytest.raises(UserError) as mistake:
        composition.compose(params(overrides=given))
    for fact in ["params.yaml: overrides", *facts]:
        assert fact in str(mistake.value)


def test_a_member_that_an_override_names_is_composed(params) -> None:
    composed = composition.compose(params(overrides={"datasets.scenes_smoke_vqa.image_source": "coco_2014"}))
    assert "coco_2014" in composed.sources


def test_a_part_of_a_key_with_a_digit_that_is_no_decimal_is_a_name() -> None:
    assert overrides.merged({100: 1}, {"100": 2, "²": 3}) == {100: 2, "²": 3}
