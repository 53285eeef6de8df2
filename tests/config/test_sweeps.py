"""A sweep stands for its members: which variants it makes, what they are called, and who may name them."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from user_files import GRID, PRESET, Project, holds

from vlkd_steps.config import composition, jobs, member_names, precedence
from vlkd_steps.config.models.composition import Composition
from vlkd_steps.core import layout

SWEEP = {"variants.clip_td.sweep": {"lambda0": [1, 3], "learning_rate": [1e-3, 4e-3]}}
FIRST, LAST = "clip_td_lambda0_1_learning_rate_0p001", "clip_td_lambda0_3_learning_rate_0p004"


@pytest.fixture
def composed(project: Project) -> Callable[..., Composition]:
    """params.yaml with these changes, composed."""

    def compose(**changes: Any) -> Composition:
        project.params(**changes)
        return composition.compose(project.folder / "params.yaml")

    return compose


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


def test_a_label_means_the_members_that_fit(composed: Callable[..., Composition]) -> None:
    def chosen(*names: str) -> list[str]:
        return list(map(c.label, composed(grid=GRID | {"variant": list(names)}, overrides=SWEEP).grid.variant))

    c = composed(overrides=SWEEP)
    both = ["clip_td[lambda0=3, learning_rate=0.001]", "clip_td[lambda0=3, learning_rate=0.004]"]
    assert chosen("clip_td[lambda0=3]") == both
    assert chosen(both[1]) == [both[1]]
    assert chosen(LAST, "finetune") == [both[1], "finetune"]


def test_null_ends_a_sweep(project: Project, composed: Any) -> None:
    project.conf("experiment/first.yaml", PRESET + "variants: {clip_td: {sweep: {lambda0: [1, 3]}}}\n")
    end = "# @package _global_\ndefaults: [first, _self_]\nvariants: {clip_td: {sweep: null, lambda0: 5}}\n"
    project.conf("experiment/mine.yaml", end)
    c = composed(experiment="mine")
    assert not c.members
    assert precedence.settings(c, "clip_td", "vqa", "40").written()["lambda0"] == 5
    assert not composed(overrides={"variants.clip_td.sweep": None}).members


@pytest.mark.parametrize(
    ("name", "trials"),
    [
        ("scenes_tune", 288),
        ("scenes_tune_methods", 144),
        ("scenes_tune_full", 18),
        ("scenes_tune_students", 72),
        ("scenes_tune_vcr", 15),
    ],
)
def test_the_trials_that_ship(project: Project, composed: Any, name: str, trials: int) -> None:
    c = composed(experiment=name, grid={})
    assert len(c.cells) == trials
    assert {cell.variant for cell in c.cells} <= set(c.members)
    for cell in c.cells:  # what earlier files say of a swept key, for a task as well, is not used
        rate = c.members[cell.variant].swept["learning_rate"]
        assert jobs.distill(c, cell)["training"]["learning_rate"] == rate


def test_the_trials_of_the_token_term(project: Project, composed: Any) -> None:
    c = composed(experiment="scenes_tune_tokens", grid={})
    keys = ("token_target", "token_layer", "selection", "relevance")
    found = {tuple(jobs.distill(c, cell)["method"][key] for key in keys) for cell in c.cells}
    assert len(c.cells) == 24
    assert found == {
        (target, layer, selection, "centred")
        for target in ("text", "image", "fused")
        for layer in ("embedding", "last")
        for selection in ("relevance", "random")
    }


def test_the_trials_of_mads_targets(project: Project, composed: Any) -> None:
    c = composed(experiment="scenes_tune_mad", grid={})
    keys = ("name", "whitening", "distance", "lambda0")
    found = {tuple(jobs.distill(c, cell)["method"][key] for key in keys) for cell in c.cells}
    assert len(c.cells) == 36
    assert found == {
        ("mad", whitening, distance, strength)
        for whitening in ("none", "standardise", "pca")
        for distance in ("l1", "cosine")
        for strength in (3, 10)
    } | {("mad", whitening, "relation", strength) for whitening in ("none", "pca") for strength in (3, 10, 30)}


def test_grids_and_init_name_members(project: Project, composed: Any) -> None:
    text = """# @package _global_
defaults: [scenes_smoke, _self_]
highlight: finetune
grid: {variant: [finetune, clip_td, after]}
grids:
  - {dataset: [scenes_smoke_vqa], variant: [finetune, clip_td]}
  - {dataset: [scenes_smoke_ve], variant: ["clip_td[lambda0=3]", after]}
variants:
  clip_td: {sweep: {lambda0: [1, 3]}, by_task: {entailment: {init: clip_td}}}
  after: {method: finetune, init: "clip_td[lambda0=3]"}
"""
    project.conf("experiment/mine.yaml", text)
    c = composed(experiment="mine", grid={})
    assert c.blocks[0].variant == ("finetune", "clip_td_lambda0_1", "clip_td_lambda0_3")
    assert c.blocks[1].variant == ("clip_td_lambda0_3", "after")
    assert c.variants["clip_td_lambda0_1"].of_task("entailment").init == "clip_td_lambda0_1"
    assert c.variants["after"].init == "clip_td_lambda0_3"


def test_jobs_get_labels_only_where_something_is_swept(composed: Callable[..., Composition]) -> None:
    plain, c = composed(), composed(overrides=SWEEP)
    assert "label" not in jobs.runs(plain)[0]
    assert "swept" not in jobs.report(plain)
    assert {run["label"] for run in jobs.runs(c)} >= {"finetune", "clip_td[lambda0=1, learning_rate=0.001]"}
    told = {cell.variant: jobs.distill(c, cell) for cell in c.cells}
    assert "swept" not in told["finetune"]
    assert told[FIRST]["swept"]["variant"] == "clip_td"
    assert told[FIRST]["swept"]["values"] == {"lambda0": 1, "learning_rate": 1e-3}


def test_a_highlight_of_the_preset_that_an_override_sweeps_is_none(composed: Callable[..., Composition]) -> None:
    assert composed().preset.highlight == "clip_td"
    assert composed(overrides=SWEEP).preset.highlight is None
    assert composed(overrides=SWEEP | {"highlight": LAST}).preset.highlight == LAST


def test_a_highlight_that_a_preset_inherits_and_sweeps_is_none(project: Project) -> None:
    swept = "variants: {clip_td: {sweep: {lambda0: [1, 3]}}}\n"
    project.conf("experiment/mine.yaml", "# @package _global_\ndefaults: [scenes, _self_]\n" + swept)
    project.params(experiment="mine", grid={})
    assert composition.compose(project.folder / "params.yaml").preset.highlight is None
    project.conf(
        "experiment/mine.yaml", "# @package _global_\ndefaults: [scenes, _self_]\nhighlight: clip_td\n" + swept
    )
    holds(project.message(), "mine.yaml: highlight is 'clip_td', which is swept", "'clip_td[lambda0=3]'")


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


def test_names_are_safe_and_their_own() -> None:
    swept = [{"key": value} for value in (0.001, 1e-05, -1, 1, True, None, "a b", "a_b", "A_B", "x" * 200, "x" * 201)]
    names = member_names.names("v", swept, ["v_key_1"])
    assert names[:3] == ["v_key_0p001", "v_key_1em05", "v_key_m1"]
    assert all(re.fullmatch(layout.NAME, name) for name in names)
    assert len({name.casefold() for name in [*names, "v_key_1"]}) == len(names) + 1
    assert names == member_names.names("v", swept, ["v_key_1"])


def test_a_label_writes_values_as_yaml_does() -> None:
    written = {"a": 3.0, "b": True, "c": None, "d": ["image", "text"], "e": 1e-05}
    assert member_names.label("v", written) == "v[a=3, b=true, c=null, d=[image, text], e=1e-05]"
