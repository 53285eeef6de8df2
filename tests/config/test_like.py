"""A variant that is like another one but for what it says itself."""

import json
from typing import Any

import pytest
from user_files import PRESET, Project, holds

from vlkd_steps.config import composition, precedence


def composed(project: Project, text: str, variants: list[str]) -> Any:
    project.conf("experiment/mine.yaml", PRESET + f"  variant: [{', '.join(variants)}]\n" + text)
    project.params(experiment="mine", grid={})
    return composition.compose(project.folder / "params.yaml")


def test_it_takes_what_it_does_not_say(project: Project) -> None:
    text = """
variants:
  clip_td:
    lambda0: 4
    adaptive: false
    training: {learning_rate: 5.0e-4, steps: 7}
    by_task: {vqa: {by_shot: {40: {lambda0: 6}}}}
  uniform: {like: clip_td, weight: uniform, training: {steps: 9}}
  random: {like: uniform, selection: random}
"""
    c = composed(project, text, ["finetune", "clip_td", "uniform", "random"])
    whole, changed = c.variants["clip_td"].written(), c.variants["random"].written()
    assert changed == whole | {
        "weight": "uniform",
        "selection": "random",
        "training": {"learning_rate": 5e-4, "steps": 9},
    }
    assert precedence.settings(c, "random", "vqa", "40").written()["lambda0"] == 6
    assert precedence.settings(c, "random", "vqa", "80").written()["lambda0"] == 4
    assert precedence.settings(c, "clip_td", "vqa", "80").written()["weight"] == "confidence"


def test_one_that_starts_from_itself_does_so_under_its_own_name(project: Project) -> None:
    text = """
variants:
  clip_td: {by_task: {entailment: {init: clip_td}}}
  other: {like: clip_td, weight: uniform}
"""
    c = composed(project, text, ["finetune", "clip_td", "other"])
    assert c.variants["other"].of_task("entailment").init == "other"


def test_its_own_value_wins_over_the_others_narrower_ones(project: Project) -> None:
    text = """
variants:
  clip_td:
    by_shot: {40: {lambda0: 6, distance: mse}}
    by_task: {vqa: {lambda0: 7, training: {learning_rate: 5.0e-4}, by_shot: {40: {lambda0: 8, distance: cosine}}}}
  stronger: {like: clip_td, lambda0: 20, training: {learning_rate: 1.0e-4}}
  on_vqa: {like: clip_td, by_task: {vqa: {lambda0: 30}}}
  at_forty: {like: clip_td, by_task: {vqa: {by_shot: {"40": {lambda0: 40}}}}}
"""
    names = ["stronger", "on_vqa", "at_forty"]
    c = composed(project, text, ["finetune", *names])
    found = {name: precedence.settings(c, name, "vqa", "40").written() for name in names}
    assert {name: (values["lambda0"], values["distance"]) for name, values in found.items()} == {
        "stronger": (20, "cosine"),
        "on_vqa": (30, "cosine"),
        "at_forty": (40, "cosine"),
    }
    cells = {cell.variant: cell for cell in c.cells}
    rates = {name: precedence.recipe(c, cells[name]).learning_rate for name in names}
    assert rates == {"stronger": 1e-4, "on_vqa": 5e-4, "at_forty": 5e-4}


def test_an_override_at_a_shot_yields_to_its_own_value_there(project: Project) -> None:
    text = """
variants:
  mine: {like: clip_td, by_task: {vqa: {by_shot: {40: {lambda0: 7}}}}}
"""
    composed(project, text, ["clip_td", "mine"])
    overrides = {"variants": {"clip_td": {"by_task": {"vqa": {"by_shot": {"40": {"lambda0": 3, "distance": "mse"}}}}}}}
    project.params(experiment="mine", grid={}, overrides=overrides)
    c = composition.compose(project.folder / "params.yaml")
    found = precedence.settings(c, "mine", "vqa", "40").written()
    assert (found["lambda0"], found["distance"]) == (7, "mse")


@pytest.mark.parametrize(
    ("own", "override", "expected"),
    [
        ({"training": {"learning_rate": 0.5}}, {"training.learning_rate": 0.01}, (10, 0.5)),
        ({"by_task": {"vqa": {"lambda0": 7}}}, {"by_task.vqa.lambda0": 5}, (7, 0.008)),
        ({"lambda0": 7}, {"by_task.vqa.lambda0": 5}, (7, 0.008)),
        ({"lambda0": 7}, {"by_shot.40.lambda0": 5}, (7, 0.008)),
        ({"by_task": {"vqa": {"lambda0": 7}}}, {"lambda0": 5}, (7, 0.008)),
        ({"by_task": {"vqa": {"by_shot": {40: {"lambda0": 7}}}}}, {"by_task.vqa.lambda0": 5}, (7, 0.008)),
        ({"by_shot": {40: {"training": {"learning_rate": 0.5}}}}, {"training.learning_rate": 0.01}, (10, 0.5)),
        ({"by_task": {"entailment": {"lambda0": 7}}}, {"lambda0": 5}, (5, 0.008)),
        ({"by_task": {"vqa": {"lambda0": 7}}}, {"by_shot.40.lambda0": 5}, (7, 0.008)),
        ({"by_task": {"vqa": {"by_shot": {40: {"lambda0": 7}}}}}, {"by_shot.40.lambda0": 5}, (7, 0.008)),
        ({"by_shot": {40: {"lambda0": 7}}}, {"by_task.vqa.lambda0": 5}, (5, 0.008)),  # a task's wins over a shot's
        ({"by_shot": {300: {"lambda0": 7}}}, {"lambda0": 5, "by_shot.40.training.learning_rate": 0.02}, (5, 0.02)),
        ({}, {"by_task": {}, "lambda0": 5}, (5, 0.004)),  # the rate of all tasks
        ({"weight": "uniform"}, {"lambda0": 5, "training.learning_rate": 0.01}, (5, 0.01)),
    ],
)
def test_its_own_words_win_over_overrides_of_the_other_wherever_they_stand(
    project: Project, own: dict[str, Any], override: dict[str, Any], expected: tuple[float, float]
) -> None:
    clip_td = "variants:\n  clip_td: {lambda0: 10}\n"
    composed(project, clip_td + f"  mine: {json.dumps({'like': 'clip_td', **own})}\n", ["clip_td", "mine"])
    overrides = {f"variants.clip_td.{key}": value for key, value in override.items()}
    project.params(experiment="mine", grid={}, overrides=overrides)
    c = composition.compose(project.folder / "params.yaml")
    [cell] = [cell for cell in c.cells if cell.variant == "mine" and cell.dataset == "scenes_smoke_vqa"][:1]
    found = precedence.settings(c, "mine", "vqa", "40").written()["lambda0"], precedence.recipe(c, cell).learning_rate
    assert found == expected


def test_its_own_overrides_win_over_its_own_words(project: Project) -> None:
    text = "variants:\n  x: {like: clip_td, by_task: {vqa: {lambda0: 1, training: {steps: 40}}}}\n  z: {like: x}\n"
    composed(project, text, ["clip_td", "x", "z"])
    given = {"variants.clip_td.lambda0": 50, "variants.x.lambda0": 7, "variants.clip_td.training.steps": 50}
    project.params(experiment="mine", grid={}, overrides={**given, "training.steps": 30})
    c = composition.compose(project.folder / "params.yaml")
    for name in ("x", "z"):
        assert precedence.settings(c, name, "vqa", "40").written()["lambda0"] == 7
        [cell] = [cell for cell in c.cells if cell.variant == name and cell.dataset == "scenes_smoke_vqa"][:1]
        assert precedence.recipe(c, cell).steps == 30


def test_what_it_sweeps_itself_is_not_reached(project: Project) -> None:
    text = "variants:\n  x: {like: clip_td, sweep: {lambda0: [1, 2]}}\n"
    composed(project, text, ["clip_td", "x"])
    project.params(experiment="mine", grid={}, overrides={"variants.clip_td.lambda0": 50})
    c = composition.compose(project.folder / "params.yaml")
    assert {c.variants[name].written()["lambda0"] for name in c.members} == {1, 2}


def test_overrides_of_the_other_reach_it_but_for_what_it_says_itself(project: Project) -> None:
    text = """
variants:
  uniform: {like: clip_td, weight: uniform, by_task: {vqa: {lambda0: 2}}}
  random: {like: uniform, selection: random}
overrides:
  variants.uniform.tokens_per_text: 1
"""
    names = ["finetune", "clip_td", "uniform", "random"]
    composed(project, text, names)
    project.params(
        experiment="mine",
        grid={},
        overrides={
            "variants.clip_td": {
                "weight": "confidence",
                "distance": "mse",
                "by_task": {"vqa": {"lambda0": 9, "distance": "l1"}},
            }
        },
    )
    c = composition.compose(project.folder / "params.yaml")
    found = {name: precedence.settings(c, name, "vqa", "40").written() for name in names[1:]}
    keys = ("weight", "lambda0", "distance", "tokens_per_text", "selection", "adaptive_steps")
    assert {name: [values[key] for key in keys] for name, values in found.items()} == {
        "clip_td": ["confidence", 9, "l1", 2, "both", 4],
        "uniform": ["uniform", 2, "l1", 1, "both", 4],
        "random": ["uniform", 2, "l1", 1, "random", 4],
    }
    assert precedence.settings(c, "random", "entailment", "40").written()["distance"] == "mse"


def test_it_does_not_take_a_sweep_and_may_have_its_own(project: Project) -> None:
    text = """
variants:
  clip_td: {adaptive: false, sweep: {lambda0: [1, 3]}}
  plain: {like: clip_td, weight: uniform}
  other: {like: clip_td, sweep: {tokens_per_text: [1, 2]}}
reference: finetune
highlight: plain
"""
    c = composed(project, text, ["finetune", "clip_td", "plain", "other"])
    members = {name: member.variant for name, member in c.members.items()}
    assert sorted(members.values()) == ["clip_td", "clip_td", "other", "other"]
    assert "plain" in c.variants


@pytest.mark.parametrize(
    ("variants", "facts"),
    [
        (
            "{new: {like: clip_dt}}",
            ["mine/experiment/mine.yaml: variants.new.like is 'clip_dt'", "did you mean 'clip_td'"],
        ),
        ("{new: {like: [clip_td]}}", ["variants.new.like is ['clip_td']", "there is no such variant"]),
        ("{new: {like: new}}", ["variants.new.like is 'new', which is like new itself"]),
        ("{new: {like: old}, old: {like: new}}", ["which is like"]),
        ("{new: {like: clip_td, wieght: uniform}}", ["variants.new", "'wieght'", "did you mean 'weight'"]),
    ],
)
def test_what_cannot_be(project: Project, variants: str, facts: list[str]) -> None:
    project.conf("experiment/mine.yaml", PRESET + f"variants: {variants}\n")
    project.params(experiment="mine", grid={})
    holds(project.message(), *facts)


def test_an_override_of_one_that_the_grid_leaves_out_reaches_one_that_is_like_it(project: Project) -> None:
    text = "variants:\n  uniform: {like: clip_td, weight: uniform}\n  random: {like: uniform, selection: random}\n"
    project.conf("experiment/mine.yaml", f"{PRESET}  variant: [finetune, random]\n{text}")
    project.params(experiment="mine", grid={}, overrides={"variants.clip_td.lambda0": 2})
    c = composition.compose(project.folder / "params.yaml")
    assert precedence.settings(c, "random", "vqa", "40").written()["lambda0"] == 2
