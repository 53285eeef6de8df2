"""A preset's claims: from a list or its own, and what is refused, each in one message with the nearest valid name."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError
from user_files import Project, holds

from vlkd_steps.config import composition
from vlkd_steps.config.models.claim import ClaimList
from vlkd_steps.config.validation import validated
from vlkd_steps.core.errors import UserError

LIST = """
claims:
  more: {variant: clip_td, reference: finetune, level: primary, stated: {vqa: 9}}
"""
OWN: dict[str, Any] = {
    "variant": "clip_td", "reference": "finetune", "level": "secondary", "dataset": ["scenes_smoke_vqa"], "shot": [40],
}  # fmt: skip


def written(project: Project, claims: Any, grid: dict[str, Any] | None = None, **more: Any) -> None:
    preset = {
        "defaults": ["scenes_smoke", "_self_"],
        "grid": {
            "dataset": ["scenes_smoke_vqa"],
            "variant": ["finetune", "clip_td"],
            "shot": [40, 100],
            **(grid or {}),
        },
        "claims": claims,
        **more,
    }
    project.conf("experiment/mine.yaml", "# @package _global_\n" + yaml.safe_dump(preset, sort_keys=False))
    project.conf("claims/ours.yaml", LIST)
    project.params(experiment="mine", grid={})


def message(project: Project, **changes: Any) -> str:
    written(project, {"mine": {key: value for key, value in (OWN | changes).items() if value is not None}})
    return project.message()


def test_a_claim_extends_one_of_a_list(project: Project) -> None:
    place = {"dataset": ["scenes_smoke_vqa"], "shot": [40]}
    written(project, {"low": {"extends": "ours.more", **place, "level": "secondary"}, "own": OWN, "none": None})
    claims = composition.compose(Path("params.yaml")).claims
    assert list(claims) == ["low", "own"]
    low = claims["low"]
    assert (low.variant, low.level, low.set, low.shots, low.stated) == (
        "clip_td", "secondary", ("test",), ("40",), {"vqa": 9},
    )  # fmt: skip
    with pytest.raises(ValidationError):
        low.level = "primary"


def test_a_set_may_be_an_extra_evaluation(project: Project) -> None:
    project.params(experiment="scenes_vlkd_claims", grid={})
    claims = composition.compose(Path("params.yaml")).claims
    assert claims["zero_shot"].set == ("vqa",)
    override = {"claims.zero_shot.set": ["retrieval"]}  # a measure, which has no items
    project.params(experiment="scenes_vlkd_claims", grid={}, overrides=override)
    holds(project.message(), "claims.zero_shot.set is 'retrieval'", "no such evaluation set of scenes_wide_captions")


def test_a_part_of_the_grid_leaves_claims_valid(project: Project) -> None:
    written(project, {"mine": OWN | {"shot": [40, 100]}})
    project.params(experiment="mine", grid={"shot": [40], "variant": ["finetune"]})
    assert composition.compose(Path("params.yaml")).claims["mine"].shots == ("40", "100")


@pytest.mark.parametrize(
    ("changes", "facts"),
    [
        ({"variant": "clip_dt"}, ["claims.mine.variant is 'clip_dt'", "no such variant", "did you mean 'clip_td'"]),
        ({"reference": "finetun"}, ["claims.mine.reference is 'finetun'", "did you mean 'finetune'"]),
        ({"dataset": ["scenes_smoke_vq"]}, ["claims.mine.dataset", "did you mean 'scenes_smoke_vqa'"]),
        ({"set": ["tset"]}, ["claims.mine.set is 'tset'", "evaluation set of scenes_smoke_vqa", "did you mean 'test'"]),
        ({"shot": [400]}, ["claims.mine.shot is '400'", "no such shot in the grid", "'40'"]),
        ({"student": ["vilt_scene"]}, ["claims.mine.student", "did you mean"]),
        ({"level": "primry"}, ["claims.mine.level is 'primry'", "did you mean 'primary'"]),
        ({"direction": "up"}, ["claims.mine.direction is 'up'", "above, below, either"]),
        ({"seeds": 3}, ["claims.mine.seeds is 3", "5 or more"]),
        ({"margins": 2}, ["unknown key 'margins'", "did you mean 'margin'"]),
        ({"margin": 2, "direction": "either"}, ["claims.mine: margin is read only with"]),
        ({"test": "same_tensors", "direction": "below"}, ["claims.mine: direction is not read"]),
        ({"test": "same_tensors", "set": ["tset"]}, ["claims.mine: set is not read"]),
        ({"test": "same_tensors", "seeds": 10}, ["claims.mine: seeds is not read"]),
        ({"test": "slope", "stated": {"vqa": 9}}, ["claims.mine: stated is not read with test: slope"]),
        ({"test": "slope"}, ["claims.mine: test: slope needs three numbers"]),
        ({"test": "measure"}, ["claims.mine: metric and test: measure belong together"]),
        ({"metric": "infilling"}, ["claims.mine: metric and test: measure belong together"]),
        ({"test": "measure", "metric": "infilling"}, ["claims.mine: test: measure needs set: [NAME]"]),
        (
            {"test": "measure", "metric": "infilling", "set": ["dev"]},
            ["claims.mine.set is 'dev'", "no such measure of scenes_smoke_vqa"],
        ),
        ({"reference": "clip_td"}, ["claims.mine: compares clip_td with itself"]),
        ({"by_shot": {100: {"variant": "clip_td", "reference": "finetune"}}}, ["by_shot names 100", "not in shot"]),
        ({"shot": None}, ["claims.mine.shot is missing"]),
        ({"variant": "naive_kd"}, ["claims.mine compares naive_kd on scenes_smoke_vqa at 40", "the grid does not run"]),
        ({"level": "primary", "set": ["dev", "test"]}, ["claims.mine: is primary and names several sets"]),
        ({"extends": "our.more"}, ["claims.mine.extends is 'our.more'", "no such list", "did you mean 'ours'"]),
        (
            {"extends": "ours.mor"},
            ["claims.mine.extends is 'ours.mor'", "claims/ours.yaml has no such claim", "'more'"],
        ),
        ({"stated": {"vqa": "x"}}, ["claims.mine.stated.vqa is 'x'; write a number"]),
        ({"stated": {"vqas": 9}}, ["claims.mine.stated.vqas", "did you mean 'vqa'"]),
    ],
)
def test_what_cannot_be(project: Project, changes: dict[str, Any], facts: list[str]) -> None:
    holds(message(project, **changes), "mine/experiment/mine.yaml: ", *facts)


def test_variants_of_different_students_are_not_compared(project: Project) -> None:
    blocks = [
        {"variant": ["finetune"], "student": ["vilt_scenes"]},
        {"variant": ["clip_td"], "student": ["uniter_scenes"]},
    ]
    written(project, {"mine": OWN}, {"student": ["vilt_scenes", "uniter_scenes"]}, grids=blocks)
    holds(project.message(), "claims.mine compares runs on scenes_smoke_vqa that no student of the grid has all of")


def test_a_primary_claim_has_one_row_for_each_task(project: Project) -> None:
    both = ["scenes_smoke_vqa", "scenes_smoke_vqa_2"]
    text = "defaults: [scenes_smoke_vqa, _self_]\nname: scenes_smoke_vqa_2\n"
    project.conf("dataset/scenes_smoke_vqa_2.yaml", text)
    written(project, {"mine": OWN | {"level": "primary", "dataset": both}}, {"dataset": both})
    holds(project.message(), "claims.mine is primary and names several data sets of task vqa", "level: secondary")


def test_a_primary_claim_is_there_once(project: Project) -> None:
    primary = OWN | {"level": "primary"}
    written(project, {"mine": primary, "again": primary | {"text": "the same", "shot": primary["shot"][::-1]}})
    holds(project.message(), "claims.again is the same primary claim as mine; delete one, or write level: secondary")
    written(project, {"mine": primary, "again": OWN, "shifted": primary | {"margin": 1}})
    assert list(composition.compose(Path("params.yaml")).claims) == ["mine", "again", "shifted"]


def test_a_mistake_in_a_list_names_its_file(project: Project) -> None:
    written(project, {"mine": {"extends": "ours.more", "dataset": ["scenes_smoke_vqa"], "shot": [40]}})
    project.conf("claims/ours.yaml", LIST.replace("primary", "first"))
    holds(project.message(), "mine/claims/ours.yaml: claims.more.level is 'first'", "choose from: primary, secondary")


def test_an_inherited_claim_that_does_not_fit_can_be_left_out(project: Project) -> None:
    written(project, {"mine": OWN})
    child = "# @package _global_\ndefaults: [mine, _self_]\ngrid: {shot: [100]}\n"
    project.conf("experiment/child.yaml", child)
    project.params(experiment="child", grid={})
    holds(project.message(), "mine/experiment/mine.yaml: claims.mine.shot is '40'", "child.yaml: claims: {mine: null}")
    for claims in ("claims: {mine: null}\n", "claims: null\n"):
        project.conf("experiment/child.yaml", child + claims)
        assert not composition.compose(Path("params.yaml")).claims


def test_a_member_of_a_sweep_is_named_by_its_label(project: Project) -> None:
    variants = {"clip_td": {"sweep": {"lambda0": [1, 3]}}}
    written(project, {"mine": OWN | {"variant": "clip_td[lambda0=3]"}}, variants=variants, highlight="finetune")
    claims = composition.compose(Path("params.yaml")).claims
    assert claims["mine"].variant == "clip_td_lambda0_3"


@pytest.mark.parametrize("key", ["variant", "reference", "by_shot"])
def test_a_label_that_several_members_fit_is_refused(project: Project, key: str) -> None:
    variants = {"clip_td": {"sweep": {"lambda0": [1, 3], "steps": [20, 30]}}}
    label = "clip_td[lambda0=1]"
    said = {key: label if key != "by_shot" else {40: {"variant": label, "reference": "finetune"}}}
    written(project, {"mine": OWN | said}, variants=variants, highlight="finetune")
    holds(project.message(), f"claims.mine.{key}", f"is '{label}', which is swept", "'clip_td[lambda0=1, steps=30]'")


@pytest.mark.parametrize(
    ("values", "kept"), [([1, 3], ["of_a_member", "of_another"]), ([1, 2], ["of_another"])], ids=["there", "gone"]
)
def test_a_claim_about_a_variant_that_params_yaml_sweeps_is_left_out(
    project: Project, values: list[int], kept: list[str]
) -> None:
    claims = {
        "of_all": OWN,
        "of_a_member": OWN | {"variant": "clip_td[lambda0=3]"},
        "of_another": OWN | {"variant": "naive_kd"},
    }
    written(project, claims, {"variant": ["finetune", "clip_td", "naive_kd"]})
    project.params(experiment="mine", grid={}, overrides={"variants.clip_td.sweep": {"lambda0": values}})
    composed = composition.compose(Path("params.yaml"))
    assert list(composed.claims) == kept
    gone = ", ".join(name for name in claims if name not in kept)
    assert f"params.yaml sweeps a variant of these claims, which are left out: {gone}" in composed.note


@pytest.mark.parametrize("key", ["dataset", "shot", "by_shot"])
def test_a_list_says_no_runs(key: str) -> None:
    listed = {"variant": "clip_td", "reference": "finetune", "level": "secondary"}
    ClaimList.model_validate({"claims": {"helps": listed}})
    with pytest.raises(UserError, match=rf"claims\.helps: {key} belongs to the preset that extends"):
        validated(ClaimList, {"claims": {"helps": listed | {key: ["any"]}}})
