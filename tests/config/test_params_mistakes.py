"""Mistakes in params.yaml and what does not fit together there, each named in one message."""

from pathlib import Path

import pytest
import yaml
from compositions import PARAMS

from vlkd_steps.config import composition, jobs
from vlkd_steps.core.errors import UserError


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"experimnet": "x"}, "unknown key 'experimnet' at the top level; did you mean 'experiment'?"),
        ({"grid": {**PARAMS["grid"], "shots": [1]}}, "unknown key 'shots' at grid; did you mean 'shot'?"),
        ({"experiment": "scene_smoke"}, "names 'scene_smoke', which does not exist; did you mean 'scenes_smoke'?"),
        ({"grid": {**PARAMS["grid"], "shot": ["ten"]}}, "grid.shot.0 is 'ten'; write a number of questions"),
        ({"grid": {**PARAMS["grid"], "variant": ["clip-td"]}}, "grid.variant"),
        ({"grid": {**PARAMS["grid"], "variant": ["clip_dt"]}}, "did you mean 'clip_td'?"),
        ({"grid": {**PARAMS["grid"], "seed": [1, 1]}}, "grid.seed: 1 appears twice"),
        ({"overrides": {True: 3}}, "overrides has the key true, which YAML does not read as text; put it in quotes"),
        ({"overrides": {5: 3}}, "overrides has the key 5, which YAML does not read as text; put it in quotes"),
        ({"overrides": {"variants": {False: {"method": "finetune"}}}}, "overrides: variants has the key false, which"),
        (
            {"overrides": {"variants": {202405: {"method": "finetune"}}}},
            "overrides: variants has the key 202405, which",
        ),
        (
            {"overrides": {"variants.clip_td": {"by_shot": {True: {}}}}},
            "variants.clip_td.by_shot has the key true, which",
        ),
        ({"experiment": 202405}, "experiment is 202405; put it in quotes, as YAML does not read it as text, and write"),
        ({"experiment": False}, "experiment is false; put it in quotes"),
        ({"grid": {**PARAMS["grid"], "dataset": [123]}}, "grid.dataset.0 is 123; put it in quotes"),
        ({"grid": {**PARAMS["grid"], "variant": [True]}}, "grid.variant.0 is true; put it in quotes"),
        (
            {"overrides": {"training.stepz": 3}},
            "overrides has unknown key 'training.stepz'; did you mean 'training.steps'?",
        ),
        ({"overrides": {"variants.clip_td.lambda": 3}}, "did you mean 'variants.clip_td.lambda0'?"),
        ({"overrides": {"training": 3}}, "would replace all of training; set its keys one by one, such as training."),
        ({"overrides": {"training": {"stepz": 3}}}, "unknown key 'training.stepz'; did you mean 'training.steps'?"),
        (
            {"overrides": {"training.steps": 8, "training": {"steps": 9}}},
            "params.yaml: overrides sets training.steps twice, to 9 and 8; keep one of them",
        ),
        (
            {"overrides": {"variants.clip_td.training": None, "variants.clip_td.training.learning_rate": 0.1}},
            "sets variants.clip_td.training as a whole and variants.clip_td.training.learning_rate, a key of it",
        ),
        (
            {"overrides": {"training.by_shot.100.steps": 3, "training.by_shot": 5}},
            "overrides sets training.by_shot as a whole and training.by_shot.100.steps, a key of it; keep one of them",
        ),
        ({"overrides": {"grids": [{"shot": [100]}]}}, "overrides cannot set grids: only a preset has them"),
        ({"overrides": {"grid.shot": [100]}}, "overrides cannot set grid: write its lists under grid"),
        ({"overrides": {"zzz": 3}}, "overrides has unknown key 'zzz'; valid are: datasets, highlight, methods, "),
        ({"overrides": {"variants.clip_td": 3}}, "would replace all of variants.clip_td; set its keys one by one"),
        (
            {"overrides": {"training.device": "gpu"}},
            "params.yaml: overrides: training.device is 'gpu'; choose from:",
        ),
        ({"overrides": {"variants.clip_td.training.learning_rate": "fast"}}, "is 'fast'; write a number above 0"),
        ({"overrides": {"variants.clip_td.method": "clip_dt"}}, "clip_td.method names 'clip_dt', which does not exist"),
        (
            {"artifacts": {"source": ["scenes_smoke"]}},
            "artifacts is no longer listed by hand",
        ),
        ({"artifacts": None}, "delete the key `artifacts`"),
    ],
)
def test_a_mistake_is_named_with_the_nearest_valid_key(params, changes: dict, message: str) -> None:
    with pytest.raises(UserError) as mistake:
        composition.compose(params(**changes))
    assert message in str(mistake.value)


def test_broken_yaml_and_a_missing_file(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    with pytest.raises(UserError, match=r"is not in .*; run this in a project's folder"):
        composition.compose(path)
    path.write_text("experiment: [")
    with pytest.raises(UserError, match=r"params\.yaml is not valid YAML: .*line"):
        composition.compose(path)


def test_a_config_argument_that_nothing_reads() -> None:
    with pytest.raises(UserError, match=r"--config experimant=\.\.\. is not a known key; did you mean 'experiment'\?"):
        jobs.check_arguments({"experimant": "x"})


def test_an_experiment_that_snakemake_reads_as_a_number() -> None:
    with pytest.raises(UserError, match="202405"):
        jobs.check_arguments({"experiment": 202405})
    jobs.check_arguments({"experiment": "2024_05"})
    jobs.check_arguments({})


@pytest.mark.parametrize(
    "key", ["variants.clip_td.by_shot.400.lambda0", "variants.clip_td.by_task.vqa.by_shot.400.lambda0"]
)
def test_by_shot_for_a_shot_that_no_run_has_is_refused_in_overrides(params, key: str) -> None:
    grid = {**PARAMS["grid"], "shot": [40, 100]}
    section = key.rpartition(".")[0]
    with pytest.raises(UserError, match=rf"params.yaml: overrides: {section} sets values of no run; .*'40'"):
        composition.compose(params(overrides={key: 3}, grid=grid))


def test_an_override_of_a_variant_that_the_grid_leaves_out_is_refused(params) -> None:
    grid = {**PARAMS["grid"], "variant": ["finetune"]}
    with pytest.raises(UserError, match=r"params.yaml: overrides: variants.clip_td.* sets values of no run"):
        composition.compose(params(overrides={"variants": {"clip_td": {"lambda0": 3}}}, grid=grid))
    composition.compose(params(overrides={"variants": {"clip_td": {"lambda0": "preset"}}}, grid=grid))


@pytest.mark.parametrize(
    ("overrides", "facts"),
    [
        ({"methods.mad.lambda0": 3}, ["methods.mad.lambda0", "no variant in grid.variant is of method mad"]),
        ({"students.vilt_scenes.recipe.vcr.steps": 3}, ["students.vilt_scenes.recipe.vcr", "valid are: vqa"]),
        ({"teachers.clip_scenes.by_dataset.scenes_ve.batch_size": 3}, ["by_dataset.scenes_ve", "scenes_smoke_vqa"]),
    ],
)
def test_an_override_that_no_run_reads_is_refused(params, overrides: dict, facts: list[str]) -> None:
    with pytest.raises(UserError, match="sets values of no run") as mistake:
        composition.compose(params(overrides=overrides))
    assert [fact for fact in facts if fact not in str(mistake.value)] == []


def test_an_override_of_evaluations_of_a_data_set_that_the_grid_leaves_out_is_refused(params) -> None:
    changes = {"extra_evals.scenes_wide_captions.kept": {"measure": "forgetting"}}
    grid = {"dataset": ["scenes_vqa"], "variant": ["bart"]}
    with pytest.raises(UserError, match=r"no run: scenes_wide_captions is not in grid\.dataset"):
        composition.compose(params(experiment="scenes_vlkd", grid=grid, overrides=changes))


def test_an_override_of_the_method_of_a_run_is_taken(params) -> None:
    composed = composition.compose(params(overrides={"methods.clip_td.lambda0": 7}))
    cell = next(cell for cell in composed.cells if cell.variant == "clip_td")
    assert jobs.distill(composed, cell)["method"]["lambda0"] == 7


@pytest.mark.parametrize(
    "key",
    [
        "training.by_task.captioning.steps",
        "variants.clip_td.by_task.captioning.lambda0",
        "students.vilt_scenes.by_task.captioning.image_size",
    ],
)
def test_by_task_for_a_task_that_no_run_has_is_refused_in_overrides(params, key: str) -> None:
    section = key.rpartition(".")[0]
    with pytest.raises(UserError, match=rf"params.yaml: overrides: {section} sets values of no run; valid are: vqa"):
        composition.compose(params(overrides={key: 3}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"student": ["bart_scenes"]}, "method finetune trains a classifier, but bart_scenes answers in words"),
        ({"student": ["bart_scenes"], "variant": ["mad"]}, "method mad trains a classifier, but bart_scenes answers"),
        ({"dataset": ["scenes_smoke_captions"]}, "vilt_scenes is a classifier, but scenes_smoke_captions has"),
    ],
)
def test_a_student_that_cannot_do_it_is_named(params, changes: dict, message: str) -> None:
    with pytest.raises(UserError) as mistake:
        composition.compose(params(grid={**PARAMS["grid"], **changes}))
    assert message in str(mistake.value)


@pytest.mark.parametrize("head", [{"head": "vilt"}, {"by_task": {"vcr": {"head": "vilt"}}}])
def test_a_head_that_does_not_fit_the_task_is_named(params, head: dict) -> None:
    grid = {**PARAMS["grid"], "dataset": ["scenes_smoke_vcr"]}
    with pytest.raises(UserError, match=r"head of vilt_scenes is vilt, .* but scenes_smoke_vcr has choices"):
        composition.compose(params(grid=grid, overrides={"students.vilt_scenes": head}))


def test_an_adversary_is_for_students_that_take_shifts(params) -> None:
    changes = {"training.adversarial": {"of": ["text"], "steps": 3, "rate": 1e-3, "kl_weight": 1.5}}
    with pytest.raises(UserError, match=r"vilt_scenes .*training.adversarial is for UNITER and VILLA"):
        composition.compose(params(overrides=changes))
    composed = composition.compose(params(overrides=changes, grid={**PARAMS["grid"], "student": ["uniter_scenes"]}))
    job = jobs.distill(composed, composed.cells[0])
    assert job["training"]["adversarial"] == changes["training.adversarial"]


def test_an_override_sets_one_key_of_the_adversary(params, tmp_path: Path) -> None:
    adversary = {"of": ["text"], "steps": 3, "rate": 1e-3, "kl_weight": 1.5}
    preset = {"defaults": ["scenes_smoke", "_self_"], "training": {"adversarial": adversary}}
    (tmp_path / "mine/experiment").mkdir(parents=True)
    (tmp_path / "mine/experiment/mine.yaml").write_text(f"# @package _global_\n{yaml.safe_dump(preset)}")
    grid = {**PARAMS["grid"], "student": ["uniter_scenes"]}
    changes = {"training.adversarial": {"rate": 2e-3}}
    composed = composition.compose(
        params(experiment="mine", conf=[str(tmp_path / "mine")], grid=grid, overrides=changes)
    )
    assert jobs.distill(composed, composed.cells[0])["training"]["adversarial"] == adversary | {"rate": 2e-3}
