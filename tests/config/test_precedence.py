"""Which of several values of a setting or of the recipe wins: the narrower one, and the user's."""

from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from compositions import sections
from user_files import Project

from vlkd_steps.config import composition, jobs, precedence
from vlkd_steps.config.models.composition import Cell
from vlkd_steps.config.models.method import declaration
from vlkd_steps.config.models.student import Student


def test_what_was_tuned_for_a_task_wins_over_the_variant() -> None:
    tuned = {"method": "naive_kd", "lambda0": 2, "by_task": {"vqa": {"lambda0": 3}}}
    method = declaration("naive_kd").settings(name="naive_kd", distance="l1", anneal="none", lambda0=1)
    composed = sections(variants={"v": tuned}, methods={"naive_kd": method})
    assert precedence.settings(composed, "v", "vqa", "40").lambda0 == 3
    assert precedence.settings(composed, "v", "entailment", "40").lambda0 == 2


def test_a_shot_in_quotes_is_the_same_shot_in_a_preset_that_another_extends(project: Project, composed: Any) -> None:
    for name, base, shot in (("first", "scenes_smoke", 40), ("mine", "first", "40")):
        of_shot = {"lambda0": 7, "training": {"learning_rate": 0.5}} if name == "first" else {"lambda0": 8}
        preset = {
            "defaults": [base, "_self_"],
            "variants": {"clip_td": {"by_task": {"vqa": {"by_shot": {shot: of_shot}}}}},
        }
        project.conf(f"experiment/{name}.yaml", f"# @package _global_\n{yaml.safe_dump(preset)}")
    c = composed(experiment="mine")
    cell = next(cell for cell in c.cells if cell.variant == "clip_td")
    assert precedence.settings(c, "clip_td", "vqa", cell.shot).lambda0 == 8
    assert precedence.recipe(c, cell).learning_rate == 0.5


@pytest.mark.parametrize(
    ("task", "shot", "lambda0", "rate"),
    [
        ("vcr", "300", 2, 0.2),  # the variant's own
        ("vcr", "100", 3, 0.3),  # of the shot
        ("entailment", "100", 4, 0.3),  # the task says a strength, and no rate
        ("vqa", "300", 5, 0.2),
        ("vqa", "100", 6, 0.6),  # of the shot in the task
    ],
)
def test_settings_and_recipe_of_a_variant_by_shot_and_task(task: str, shot: str, lambda0: float, rate: float) -> None:
    tuned = {
        "method": "naive_kd", "lambda0": 2, "training": {"learning_rate": 0.2},
        "by_shot": {100: {"lambda0": 3, "training": {"learning_rate": 0.3}}},
        "by_task": {
            "entailment": {"lambda0": 4},
            "vqa": {"lambda0": 5, "by_shot": {"100": {"lambda0": 6, "training": {"learning_rate": 0.6}}}},
        },
    }  # fmt: skip
    composed = sections(
        variants={"v": tuned},
        methods={
            "naive_kd": declaration("naive_kd").settings(name="naive_kd", distance="l1", anneal="none", lambda0=1)
        },
        students={"s": Student.model_validate({"name": "s", "kind": "k"})},
        datasets={task: SimpleNamespace(task=task)},
        training={"steps": 10, "batch_size": 9, "learning_rate": 0.1, "by_shot": {100: {"learning_rate": 0.9}}},
    )
    assert precedence.settings(composed, "v", task, shot).lambda0 == lambda0
    assert precedence.recipe(composed, Cell(task, "s", "v", shot)).learning_rate == rate


RECIPES = sections(
    variants={
        "plain": {"method": "finetune"},
        "tuned": {
            "method": "finetune", "training": {"clip": 4}, "by_task": {"vqa": {"training": {"steps": 50}}}
        },
    },
    students={
        "s": Student.model_validate({"name": "s", "kind": "k", "recipe": {"vqa": {"clip": 2, "steps": 20}}}),
        "t": Student.model_validate({"name": "t", "kind": "k"}),
    },
    datasets={task: SimpleNamespace(task=task) for task in ("vqa", "vcr", "entailment")},
    training={
        "clip": 1, "steps": 10, "batch_size": 9, "learning_rate": 9,
        "by_shot": {100: {"steps": 30}, "full": {"clip": 3}},
        "by_task": {"vcr": {"steps": 40}},
    },
)  # fmt: skip


@pytest.mark.parametrize(
    ("variant", "task", "student", "shot", "clip", "steps"),
    [
        ("plain", "vqa", "t", "300", 1, 10),
        ("plain", "vqa", "s", "300", 2, 20),
        ("plain", "entailment", "s", "300", 1, 10),
        ("plain", "vqa", "s", "100", 2, 30),
        ("plain", "vqa", "s", "full", 3, 20),
        ("tuned", "vqa", "s", "100", 4, 50),
        ("tuned", "entailment", "s", "100", 4, 30),
        ("plain", "vcr", "t", "100", 1, 40),
        ("tuned", "vcr", "t", "full", 4, 40),
    ],
)
def test_what_is_said_more_narrowly_of_training_wins(
    variant: str, task: str, student: str, shot: str, clip: int, steps: int
) -> None:
    found = precedence.recipe(RECIPES, Cell(task, student, variant, shot)).written()
    assert found == {"clip": clip, "steps": steps, "batch_size": 9, "learning_rate": 9}


def test_a_students_recipe_reaches_its_runs_and_not_its_configuration(params) -> None:
    composed = composition.compose(params(), experiment="paper_vqa")
    job = jobs.distill(composed, Cell("vqa_v2", "vilt_b32", "clip_td", "full"))
    assert (job["training"]["steps"], job["training"]["head_multiplier"]) == (17300, 10.0)
    assert "recipe" not in job["student"]
    assert jobs.distill(composed, Cell("vqa_v2", "vilt_b32", "clip_td", "1pct"))["training"]["steps"] == 2000
    for shot in ("full", "100"):  # the authors clip a step's summed gradients at 2, here their mean is clipped
        training = jobs.distill(composed, Cell("vqa_v2", "uniter_large", "clip_td", shot))["training"]
        assert training["clip"] * min(training["accumulation"], 4) == 2


def test_what_a_user_sets_wins_over_what_the_preset_tuned(params) -> None:
    changes = {"variants.clip_td.lambda0": 7, "training.learning_rate": 0.5}
    composed = composition.compose(params(overrides=changes))
    for task in ("vqa", "entailment"):
        assert precedence.settings(composed, "clip_td", task, "40").lambda0 == 7
    cell = Cell("scenes_smoke_vqa", "vilt_scenes", "finetune", "40")
    assert precedence.recipe(composed, cell).learning_rate == 0.5


def test_what_a_user_sets_wins_over_recipes_and_shots(params) -> None:
    grid = {"dataset": ["vqa_v2"], "student": ["vilt_b32"], "variant": ["finetune"]}
    changes = {"training.steps": 7, "students.vilt_b32.recipe.vqa.learning_rate": 0.5}
    path = params(experiment="paper_vqa", grid=grid, overrides=changes)
    composed = composition.compose(path)
    for shot in ("100", "full"):
        training = precedence.recipe(composed, Cell("vqa_v2", "vilt_b32", "finetune", shot))
        assert (training.steps, training.learning_rate) == (7, 0.5)


def test_overrides_win_over_the_preset_and_the_narrower_of_them_over_the_wider(params) -> None:
    grid = {"dataset": ["vqa_v2"], "student": ["vilt_b32"], "variant": ["finetune"]}
    changes = {"training.by_shot.100.steps": 5, "students.vilt_b32.recipe.vqa.steps": 9, "training.steps": 7}
    composed = composition.compose(params(experiment="paper_vqa", grid=grid, overrides=changes))
    cells = {shot: Cell("vqa_v2", "vilt_b32", "finetune", shot) for shot in ("100", "1000")}
    steps = {shot: precedence.recipe(composed, cell).steps for shot, cell in cells.items()}
    assert steps == {"100": 5, "1000": 9}  # the preset says 500 and 1,000 for these shots
