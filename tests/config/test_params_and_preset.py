"""params.yaml and the preset that it names: what is crossed, and what is left out."""

from pathlib import Path

import pytest
from compositions import PARAMS

from vlkd_steps.config import composition, jobs, step_code
from vlkd_steps.config.models.composition import Cell


def test_the_committed_params_file_composes(root: Path) -> None:
    composed = composition.compose(root / "params.yaml")
    assert composed.experiment == "scenes"
    assert len(jobs.runs(composed)) == 2 * 3 * 2 * 3


@pytest.mark.parametrize("name", composition.options("experiment"))
def test_every_preset_composes(name: str, params, shared_data: Path) -> None:
    composed = composition.compose(params(), experiment=name)
    assert composed.experiment == name
    assert jobs.runs(composed)
    for dataset in composed.grid.dataset:
        for variant in composed.grid.variant:
            jobs.distill(composed, Cell(dataset, composed.grid.student[0], variant, "40"))
            step_code.code(composed, "distill", dataset=dataset, variant=variant, student=composed.grid.student[0])


def test_a_list_left_out_is_the_presets(params) -> None:
    composed = composition.compose(params())
    assert composed.grid.student == ("vilt_scenes",)
    assert composed.grid.shot == (40, "1pct")


def test_a_presets_own_override_about_a_variant_that_the_grid_leaves_out_is_left_out(params) -> None:
    grid = {**PARAMS["grid"], "variant": ["finetune"]}  # scenes_smoke has an override for clip_td
    composed = composition.compose(params(grid=grid))
    assert {run["variant"] for run in jobs.runs(composed)} == {"finetune"}


def test_a_presets_own_override_about_a_data_set_that_the_grid_leaves_out_is_left_out(params) -> None:
    for name, sets in (("scenes_ve", 6), ("scenes_vqa", 4)):  # scenes_protocol names scenes_ve's sets
        grid = {"dataset": [name], "variant": ["finetune", "clip_td"], "shot": [300]}
        composed = composition.compose(params(experiment="scenes_protocol", grid=grid))
        assert len(composed.datasets[name].evaluation_sets) == sets


@pytest.mark.parametrize(
    "override",
    [
        "datasets.scenes_smoke_ve.evaluation_sets: [test]",
        "students.uniter_scenes.regions: boxes_scenes",
        "teachers.clip_scenes_patches.batch_size: 3",
        "sources.scenes.kind: local",
        "methods.vlkd.ttdm: 3",
    ],
)
def test_a_presets_override_about_anything_that_the_grid_leaves_out_is_left_out(
    params, tmp_path: Path, override: str
) -> None:
    (tmp_path / "mine/experiment").mkdir(parents=True)
    text = f"# @package _global_\ndefaults: [scenes_smoke, _self_]\noverrides: {{{override}}}\n"
    (tmp_path / "mine/experiment/mine.yaml").write_text(text)
    composition.compose(params(experiment="mine", conf=[str(tmp_path / "mine")]))


def test_a_model_that_a_pre_training_starts_from_is_pre_trained_as_well(params, tmp_path: Path) -> None:
    (tmp_path / "mine/teacher").mkdir(parents=True)
    text = (
        "defaults: [clip_easy_vqa, _self_]\nname: {0}\nweights: models/{0}/model.safetensors\npretrain: {{init: {1}}}\n"
    )
    for name, init in (("first", "clip_scenes"), ("second", "first"), ("third", "second")):
        (tmp_path / f"mine/teacher/{name}.yaml").write_text(text.format(name, init))
    changes = {"variants.clip_td.teacher": "third"}
    composed = composition.compose(params(conf=[str(tmp_path / "mine")], overrides=changes))
    assert composed.artifacts.model == ["first", "second", "third"]
    assert composed.artifacts.teacher == ["third"]


@pytest.mark.parametrize("text", ["experiment: scenes_smoke", "experiment: scenes_smoke\ngrid: {}\noverrides: {}"])
def test_without_a_grid_the_presets_is_crossed(tmp_path: Path, text: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(text)
    composed = composition.compose(path)
    assert composed.grid == composition.compose(path, experiment="scenes_smoke").grid
    assert composed.artifacts.dataset == list(composed.grid.dataset)


def test_another_experiment_leaves_the_grid_of_params_aside(params) -> None:
    composed = composition.compose(params(), experiment="scenes")
    assert composed.grid.shot == (100, 1000)
