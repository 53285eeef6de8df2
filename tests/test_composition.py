from pathlib import Path

import pytest
import yaml

from vlkd_steps import composition, jobs
from vlkd_steps.errors import UserError

PARAMS = {
    "experiment": "scenes_smoke",
    "grid": {"dataset": ["scenes_smoke_vqa"], "variant": ["finetune", "clip_td"], "shot": [40, "1pct"], "seed": [1]},
    "artifacts": {"source": ["scenes_smoke"], "corpus": [], "model": [], "teacher": ["clip_scenes"]},
    "overrides": {},
}


@pytest.fixture
def params(tmp_path: Path):
    def write(**changes: object) -> Path:
        path = tmp_path / "params.yaml"
        path.write_text(yaml.safe_dump({**PARAMS, **changes}))
        return path

    return write


def test_the_committed_params_file_composes(root: Path) -> None:
    composed = composition.compose(root / "params.yaml")
    assert composed["experiment"] == "scenes"
    assert len(jobs.runs(composed)) == 2 * 3 * 3 * 3


@pytest.mark.parametrize("name", composition.options("experiment"))
def test_every_preset_composes(name: str, params, shared_data: Path) -> None:
    composed = composition.compose(params(), experiment=name)
    assert composed["experiment"] == name
    assert jobs.runs(composed)
    for dataset in composed["grid"]["dataset"]:
        for variant in composed["grid"]["variant"]:
            jobs.distill(composed, dataset, composed["grid"]["student"][0], variant, "40")
            jobs.code(composed, "distill", variant=variant, student=composed["grid"]["student"][0])


def test_a_list_left_out_is_the_presets(params) -> None:
    composed = composition.compose(params())
    assert composed["grid"]["student"] == ["vilt_scenes"]
    assert composed["grid"]["shot"] == [40, "1pct"]


def test_a_presets_own_override_about_a_variant_that_the_grid_leaves_out_is_left_out(params) -> None:
    grid = {**PARAMS["grid"], "variant": ["finetune"]}  # scenes_smoke has an override for clip_td
    composed = composition.compose(params(grid=grid, artifacts={**PARAMS["artifacts"], "teacher": []}))
    assert {run["variant"] for run in jobs.runs(composed)} == {"finetune"}


def test_another_experiment_leaves_the_grid_of_params_aside(params) -> None:
    composed = composition.compose(params(), experiment="scenes")
    assert composed["grid"]["shot"] == [100, 300, 1000]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"experimnet": "x"}, "unknown key 'experimnet' at the top level; did you mean 'experiment'?"),
        ({"grid": {**PARAMS["grid"], "shots": [1]}}, "unknown key 'shots' at grid; did you mean 'shot'?"),
        ({"experiment": "scene_smoke"}, "names 'scene_smoke', which does not exist; did you mean 'scenes_smoke'?"),
        ({"grid": {**PARAMS["grid"], "shot": ["ten"]}}, "grid.shot.0 is 'ten'; write a number of questions"),
        ({"grid": {**PARAMS["grid"], "variant": ["clip-td"]}}, "grid.variant"),
        ({"grid": {**PARAMS["grid"], "variant": ["clip_dt"]}}, "did you mean 'clip_td'?"),
        ({"grid": {**PARAMS["grid"], "seed": [1, 1]}}, "grid.seed"),
        (
            {"overrides": {"training.stepz": 3}},
            "overrides has unknown key 'training.stepz'; did you mean 'training.steps'?",
        ),
        ({"overrides": {"variants.clip_td.lambda": 3}}, "did you mean 'variants.clip_td.lambda0'?"),
        (
            {"artifacts": {**PARAMS["artifacts"], "teacher": []}},
            "artifacts.teacher is [], but this grid needs [clip_scenes]; write",
        ),
    ],
)
def test_a_mistake_is_named_with_the_nearest_valid_key(params, changes: dict, message: str) -> None:
    with pytest.raises(UserError) as mistake:
        composition.compose(params(**changes))
    assert message in str(mistake.value)


def test_broken_yaml_and_a_missing_file(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    with pytest.raises(UserError, match="is missing; run from the project's root"):
        composition.compose(path)
    path.write_text("experiment: [")
    with pytest.raises(UserError, match=r"params\.yaml is not valid YAML: .*line 1"):
        composition.compose(path)


def test_overrides_reach_methods_students_and_training(params) -> None:
    changes = {"variants.clip_td.lambda0": 7, "students.vilt_scenes.architecture.hidden_size": 32, "training.steps": 5}
    composed = composition.compose(params(overrides=changes))
    job = jobs.distill(composed, "scenes_smoke_vqa", "vilt_scenes", "clip_td", "40")
    assert job["method"]["lambda0"] == 7
    assert job["student"]["architecture"]["hidden_size"] == 32
    assert job["training"]["steps"] == 5


def test_what_was_tuned_for_a_task_wins_over_the_variant() -> None:
    composed = {
        "variants": {"v": {"method": "m", "lambda0": 2, "by_task": {"vqa": {"lambda0": 3, "training": {"lr": 1}}}}},
        "methods": {"m": {"name": "m", "lambda0": 1, "distance": "l1"}},
        "training": {"lr": 0, "steps": 9},
    }
    assert jobs.method(composed, "v", "vqa") == {"name": "m", "lambda0": 3, "distance": "l1"}
    assert jobs.method(composed, "v", "entailment")["lambda0"] == 2
    assert jobs.training(composed, "v", "vqa") == {"lr": 1, "steps": 9}
    assert jobs.training(composed, "v", "entailment") == {"lr": 0, "steps": 9}


def test_what_a_user_sets_wins_over_what_the_preset_tuned(params) -> None:
    changes = {"variants.clip_td.lambda0": 7, "training.learning_rate": 0.5}
    composed = composition.compose(params(overrides=changes))
    for task in ("vqa", "entailment"):
        assert jobs.method(composed, "clip_td", task)["lambda0"] == 7
        assert jobs.training(composed, "finetune", task)["learning_rate"] == 0.5


def test_a_job_is_told_only_what_it_reads(params) -> None:
    """A changed learning rate must not draw new splits, a new shot must not train the old ones again."""
    before = composition.compose(params())
    after = composition.compose(
        params(overrides={"training.learning_rate": 1.0}, grid={**PARAMS["grid"], "shot": [40, "1pct", 50]})
    )
    for cut in (
        lambda c: jobs.prepare(c, "scenes_smoke_vqa"),
        lambda c: jobs.split_train(c, "scenes_smoke_vqa", "40"),
        lambda c: jobs.split_eval(c, "scenes_smoke_vqa", "test"),
        lambda c: jobs.extract(c, "clip_scenes", "scenes_smoke_vqa"),
        lambda c: jobs.evaluate(c, "scenes_smoke_vqa", "vilt_scenes", "clip_td", "40"),
    ):
        assert cut(before) == cut(after)


def test_a_config_argument_that_nothing_reads() -> None:
    with pytest.raises(UserError, match=r"--config experimant=\.\.\. is read by nothing; did you mean 'experiment'\?"):
        jobs.check_arguments({"experimant": "x"})
