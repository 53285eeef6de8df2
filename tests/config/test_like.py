"""A variant that is like another one but for what it says itself."""

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
