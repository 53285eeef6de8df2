"""A sweep stands for its members: which variants it makes, and of which values."""

from collections.abc import Callable
from typing import Any

import pytest
from user_files import FIRST, GRID, LAST, PRESET, SWEEP, Project

from vlkd_steps.config import precedence
from vlkd_steps.config.models.composition import Composition


def values(c: Composition, key: str, task: str = "vqa") -> dict[str, Any]:
    """By member, what a setting or a key of the recipe is in its runs."""
    dataset = next(name for name in c.grid.dataset if c.datasets[name].task == task)
    found = {}
    for cell in c.cells:
        if cell.variant in c.members and cell.dataset == dataset:
            settings = (
                precedence.settings(c, cell.variant, task, cell.shot).written() | precedence.recipe(c, cell).written()
            )
            found[c.label(cell.variant)] = settings[key]
    return found


def test_the_members_are_the_product(composed: Callable[..., Composition]) -> None:
    c = composed(overrides=SWEEP)
    assert c.grid.variant[0] == "finetune"
    assert c.grid.variant[1] == FIRST
    assert c.grid.variant[-1] == LAST
    assert values(c, "lambda0") == {
        "clip_td[lambda0=1, learning_rate=0.001]": 1,
        "clip_td[lambda0=1, learning_rate=0.004]": 1,
        "clip_td[lambda0=3, learning_rate=0.001]": 3,
        "clip_td[lambda0=3, learning_rate=0.004]": 3,
    }
    assert list(values(c, "learning_rate").values()) == [1e-3, 4e-3, 1e-3, 4e-3]


@pytest.mark.parametrize(
    "sweep",
    [
        {"learning_rate": [1e-3, 4e-3]},
        {"training": {"learning_rate": [1e-3, 4e-3]}},
        {"training.learning_rate": [1e-3, 4e-3]},
    ],
)
def test_a_key_is_bare_nested_or_dotted(composed: Callable[..., Composition], sweep: dict[str, Any]) -> None:
    for overrides in ({"variants.clip_td.sweep": sweep}, {"variants": {"clip_td": {"sweep": sweep}}}):
        c = composed(overrides=overrides)
        assert values(c, "learning_rate") == {
            "clip_td[learning_rate=0.001]": 1e-3,
            "clip_td[learning_rate=0.004]": 4e-3,
        }


def test_a_key_of_one_task(composed: Callable[..., Composition]) -> None:
    grid = GRID | {"dataset": ["scenes_smoke_vqa", "scenes_smoke_ve"]}
    c = composed(grid=grid, overrides={"variants.clip_td.sweep": {"by_task.vqa.lambda0": [1, 3]}})
    assert values(c, "lambda0") == {"clip_td[by_task.vqa.lambda0=1]": 1, "clip_td[by_task.vqa.lambda0=3]": 3}
    assert len(set(values(c, "lambda0", "entailment").values())) == 1
    assert c.grid.variant[1] == "clip_td_vqa_lambda0_1"


def test_other_overrides_are_for_all_members(composed: Callable[..., Composition]) -> None:
    c = composed(overrides=SWEEP | {"variants.clip_td.temperature": 0.5, "variants.clip_td.training.warmup": 0.3})
    assert set(values(c, "temperature").values()) == {0.5}
    assert set(values(c, "warmup").values()) == {0.3}
    assert len(set(values(c, "learning_rate").values())) == 2


def test_an_override_is_swept_also_where_the_preset_says_it_by_task(composed: Callable[..., Composition]) -> None:
    grid = {"dataset": ["scenes_vqa"], "variant": ["finetune"], "shot": [100], "seed": [1]}
    overrides = {"variants.finetune.sweep.learning_rate": [1e-3, 3e-3], "reference": "finetune[learning_rate=0.001]"}
    c = composed(experiment="scenes", grid=grid, overrides=overrides)
    assert list(values(c, "learning_rate").values()) == [1e-3, 3e-3]
    assert c.preset.reference == "finetune_learning_rate_0p001"


def test_a_later_files_sweep_replaces_what_earlier_ones_say(project: Project, composed: Any) -> None:
    project.conf("experiment/first.yaml", PRESET + "variants: {clip_td: {lambda0: 7, by_task: {vqa: {lambda0: 8}}}}\n")
    project.conf(
        "experiment/mine.yaml",
        "# @package _global_\ndefaults: [first, _self_]\nhighlight: finetune\n"
        "variants: {clip_td: {sweep: {lambda0: [1, 3]}}}\n",
    )
    assert list(values(composed(experiment="mine"), "lambda0").values()) == [1, 3]


def test_a_sweep_replaces_what_earlier_files_say_by_shot(project: Project, composed: Any) -> None:
    tuned = "{by_shot: {40: {lambda0: 7}}, by_task: {vqa: {by_shot: {40: {lambda0: 8, training: {clip: 3}}}}}}"
    project.conf("experiment/first.yaml", PRESET + f"variants: {{clip_td: {tuned}}}\n")
    project.conf(
        "experiment/mine.yaml",
        "# @package _global_\ndefaults: [first, _self_]\nhighlight: finetune\n"
        "variants: {clip_td: {sweep: {lambda0: [1, 3]}}}\n",
    )
    c = composed(experiment="mine")
    assert list(values(c, "lambda0").values()) == [1, 3]
    assert set(values(c, "clip").values()) == {3}  # which is not swept


def test_a_value_of_a_task_stays_beside_the_sweep_of_its_file(project: Project, composed: Any) -> None:
    text = "variants: {clip_td: {sweep: {lambda0: [1, 3]}, by_task: {vqa: {lambda0: 8}}}}\n"
    project.conf("experiment/mine.yaml", PRESET + "highlight: finetune\n" + text)
    c = composed(experiment="mine", grid=GRID | {"dataset": ["scenes_smoke_vqa", "scenes_smoke_ve"]})
    assert list(values(c, "lambda0").values()) == [8, 8]
    assert list(values(c, "lambda0", "entailment").values()) == [1, 3]


def test_null_ends_a_sweep(project: Project, composed: Any) -> None:
    project.conf("experiment/first.yaml", PRESET + "variants: {clip_td: {sweep: {lambda0: [1, 3]}}}\n")
    end = "# @package _global_\ndefaults: [first, _self_]\nvariants: {clip_td: {sweep: null, lambda0: 5}}\n"
    project.conf("experiment/mine.yaml", end)
    c = composed(experiment="mine")
    assert not c.members
    assert precedence.settings(c, "clip_td", "vqa", "40").written()["lambda0"] == 5
    assert not composed(overrides={"variants.clip_td.sweep": None}).members
