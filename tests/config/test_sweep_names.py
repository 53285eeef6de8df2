"""The names and labels of a sweep's members, and who may name them."""

import re
from collections.abc import Callable
from typing import Any

from user_files import FIRST, GRID, LAST, SWEEP, Project, holds

from vlkd_steps.config import composition, jobs, member_names
from vlkd_steps.config.models.composition import Composition
from vlkd_steps.core import layout


def test_a_label_means_the_members_that_fit(composed: Callable[..., Composition]) -> None:
    def chosen(*names: str) -> list[str]:
        return list(map(c.label, composed(grid=GRID | {"variant": list(names)}, overrides=SWEEP).grid.variant))

    c = composed(overrides=SWEEP)
    both = ["clip_td[lambda0=3, learning_rate=0.001]", "clip_td[lambda0=3, learning_rate=0.004]"]
    assert chosen("clip_td[lambda0=3]") == both
    assert chosen(both[1]) == [both[1]]
    assert chosen(LAST, "finetune") == [both[1], "finetune"]


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


def test_members_of_two_sweeps_never_share_a_name(project: Project, composed: Callable[..., Composition]) -> None:
    text = """# @package _global_
defaults: [scenes_smoke, _self_]
highlight: finetune
variants:
  clip_td: {sweep: {lambda0: [1, 3], steps: [30]}}
  clip_td_lambda0_1: {like: clip_td, lambda0: 9, sweep: {steps: [30]}}
"""
    project.conf("experiment/mine.yaml", text)
    c = composed(experiment="mine", grid=GRID | {"variant": ["clip_td", "clip_td_lambda0_1"]})
    assert len(c.members) == len(c.grid.variant) == 3
    assert sorted(c.variants[name].written()["lambda0"] for name in c.members) == [1, 3, 9]
