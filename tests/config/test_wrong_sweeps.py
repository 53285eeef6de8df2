"""Mistakes in a sweep and beside it, each in one message."""

from typing import Any

import pytest
from user_files import GRID, PRESET, SWEEP, Project, holds


@pytest.mark.parametrize(
    ("sweep", "facts"),
    [
        ({}, ["variants.clip_td.sweep is {}", "a mapping of keys to lists"]),
        ([1, 3], ["variants.clip_td.sweep is [1, 3]", "a mapping"]),
        ({"lambda0": []}, ["variants.clip_td.sweep.lambda0 is []", "a list of values, such as [1, 3]"]),
        ({"lambda0": 3}, ["variants.clip_td.sweep.lambda0 is 3", "such as [3, ...]"]),
        ({"lambda0": [1, 3, 1.0]}, ["variants.clip_td.sweep.lambda0 is [1, 3, 1.0]", "1 appears twice"]),
        ({"lamda0": [1, 3]}, ["variants.clip_td.sweep.lamda0 is [1, 3]", "did you mean 'lambda0'"]),
        ({"zzz": [1, 3]}, ["sweep.zzz is [1, 3]", "lambda0", "learning_rate"]),
        ({"training.learning_rat": [1, 3]}, ["sweep.training.learning_rat", "did you mean 'training.learning_rate'"]),
        ({"by_task.vqaa.lambda0": [1, 3]}, ["sweep.by_task.vqaa.lambda0", "did you mean 'by_task.vqa.lambda0'"]),
        ({"learning_rate": [1], "training.learning_rate": [2]}, ["one key twice", "training.learning_rate"]),
        ({"lambda0": [1, "big"]}, ["variants.clip_td.sweep.lambda0 is 'big'", "a number, 0 or more"]),
        ({"lambda0": [1, [3]]}, ["variants.clip_td.sweep.lambda0 is [3]", "a number, 0 or more"]),
        ({"lambda0": [1, None]}, ["variants.clip_td.sweep.lambda0 is null"]),
        ({"distance": ["l1", "l3"]}, ["variants.clip_td.sweep.distance is 'l3'", "l1, mse, cosine", "'l1'"]),
        ({"learning_rate": [1e-3, -1]}, ["variants.clip_td.sweep.learning_rate is -1", "a number above 0"]),
        ({"by_task.vqa.steps": [1, 2.5]}, ["sweep.by_task.vqa.steps is 2.5", "whole number above 0"]),
        ({"lambda0": list(range(20)), "tokens_per_text": list(range(1, 21))}, ["400 variants", "at most 300"]),
    ],
)
def test_a_wrong_sweep_in_params(project: Project, sweep: Any, facts: list[str]) -> None:
    project.params(overrides={"variants.clip_td": {"sweep": sweep}})
    message = project.message()
    holds(message, "params.yaml: overrides", *facts)
    assert len(message.splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        ("{sweep: {lambda0: []}}", ["variants.clip_td.sweep.lambda0 is []"]),
        ("{sweep: {lambda0: [1, big]}}", ["variants.clip_td.sweep.lambda0 is 'big'"]),
        ("{sweep: {training: {learning_rate: [1, fast]}}}", ["sweep.training.learning_rate is 'fast'"]),
        ("{lambda0: 3, sweep: {lambda0: [1, 3]}}", ["variants.clip_td.lambda0 is 3", "sweep.lambda0", "delete one"]),
        ("{sweep: {lambda0: [1, 3]}, by_task: {vqa: {lambda0: 2}}}", ["sweep.lambda0 is [1, 3]", "no run", "by_task"]),
        ("{sweep: {lambda0: [1, 3], [a]: 3}}", ["not valid YAML"]),
        ("{lambda0: [1, 3]}", ["variants.clip_td.lambda0 is [1, 3]", "variants.clip_td.sweep: {lambda0: [1, 3]}"]),
        ("{training: {learning_rate: [1, 3]}}", ["sweep: {training.learning_rate: [1, 3]}"]),
    ],
)
def test_a_wrong_sweep_in_a_preset(project: Project, text: str, facts: list[str]) -> None:
    project.conf("experiment/mine.yaml", PRESET + f"highlight: finetune\nvariants: {{clip_td: {text}}}\n")
    project.params(experiment="mine")
    message = project.message()
    holds(message, "mine/experiment/mine.yaml", *facts)
    assert len(message.splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        ("reference: [finetune]\n", ["reference is ['finetune']"]),
        ("grid: {variant: [[clip_td]]}\n", ["grid.variant.0 is ['clip_td']"]),
        ("grid: {variant: clip_td}\n", ["grid.variant is 'clip_td'", "list"]),
        ("grids: [3]\n", ["grids.0 is 3"]),
        ("variants: {clip_td: 3}\n", ["variants.clip_td is 3"]),
        (
            "variants: {after: {method: finetune, init: clip_td}}\n",
            ["variants.after.init is 'clip_td'", "'clip_td[lam"],
        ),
        ("variants: {clip_td: {training: 3, sweep: {learning_rate: [1]}}}\n", ["variants.clip_td.training is 3"]),
        ("variants: {clip_td: {training: 3}}\n", ["variants.clip_td.training is 3"]),
        ("variants: {clip_td: {method: clip_dt}}\n", ["variants.clip_td.method", "'clip_dt'", "'clip_td'"]),
        ("variants: {clip_td: {method: [a]}}\n", ["variants.clip_td.method is ['a']"]),
        ("variants: {clip_td: {by_task: 3}}\n", ["variants.clip_td.by_task is 3"]),
    ],
)
def test_what_is_wrong_beside_a_sweep(project: Project, text: str, facts: list[str]) -> None:
    project.conf(
        "experiment/first.yaml", PRESET + "highlight: finetune\nvariants: {clip_td: {sweep: {lambda0: [1]}}}\n"
    )
    project.conf("experiment/mine.yaml", "# @package _global_\ndefaults: [first, _self_]\n" + text)
    project.params(experiment="mine", grid={})
    holds(project.message(), "mine/experiment/mine.yaml", *facts)


@pytest.mark.parametrize(
    ("changes", "facts"),
    [
        (
            {"overrides": SWEEP | {"highlight": "clip_td"}},
            ["params.yaml: overrides: highlight is 'clip_td'", "swept", "'clip_td[lambda0=1, learning_rate=0.001]'"],
        ),
        (
            {"overrides": {"variants.finetune.sweep.learning_rate": [1e-3, 2e-3]}},
            ["reference is 'finetune'", "swept", "'finetune[learning_rate=0.001]', 'finetune[learning_rate=0.002]'"],
        ),
        (
            {"overrides": SWEEP, "grid": GRID | {"variant": ["clip_td[lambda0=4]"]}},
            ["params.yaml: grid.variant names 'clip_td[lambda0=4]'", "did you mean 'clip_td[lambda0="],
        ),
        ({"grid": GRID | {"variant": ["clip_td[lambda0=4]"]}}, ["'clip_td[lambda0=4]'", "no variant", "has a sweep"]),
        (
            {"overrides": SWEEP | {"variants.clip_td.lambda0": 3}},
            ["params.yaml: overrides: variants.clip_td.lambda0 is 3", "delete one of the two"],
        ),
        (
            {"overrides": SWEEP | {"variants.clip_td.by_task.vqa.lambda0": 3}},
            ["sweep.lambda0 is [1, 3]", "values of no run"],
        ),
        ({"overrides": {"variants.clip_dt.sweep.lambda0": [1]}}, ["unknown key", "'variants.clip_dt.sweep'"]),
    ],
)
def test_names_and_values_that_clash(project: Project, changes: dict[str, Any], facts: list[str]) -> None:
    project.params(**changes)
    message = project.message()
    holds(message, *facts)
    assert len(message.splitlines()) == 1
