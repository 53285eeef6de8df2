import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from vlkd_steps.config import composition, jobs, precedence
from vlkd_steps.config.models.composition import Cell, Composition
from vlkd_steps.config.models.method import declaration
from vlkd_steps.config.models.preset import GivenGrid, Grid, Preset
from vlkd_steps.config.models.student import Student
from vlkd_steps.core.errors import UserError

PARAMS = {
    "experiment": "scenes_smoke",
    "grid": {"dataset": ["scenes_smoke_vqa"], "variant": ["finetune", "clip_td"], "shot": [40, "1pct"], "seed": [1]},
    "overrides": {},
}


GRID = {"dataset": ["a"], "student": ["s"], "variant": ["v"], "shot": [1], "seed": [1]}


def sections(variants: Any = None, training: Any = None, **others: Any) -> Composition:
    """A composition of these sections alone."""
    parts = {"variants": variants or {}, "training": training or {}, "reference": "v", "grid": GRID}
    preset = Preset.model_validate(parts)
    fields = [field.name for field in dataclasses.fields(Composition)]
    return Composition(**{**dict.fromkeys(fields), "experiment": "p", "preset": preset, "overrides": (), **others})


@pytest.fixture
def params(tmp_path: Path):
    def write(**changes: object) -> Path:
        path = tmp_path / "params.yaml"
        path.write_text(yaml.safe_dump({**PARAMS, **changes}))
        return path

    return write


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
            jobs.code(composed, "distill", dataset=dataset, variant=variant, student=composed.grid.student[0])


def test_a_list_left_out_is_the_presets(params) -> None:
    composed = composition.compose(params())
    assert composed.grid.student == ("vilt_scenes",)
    assert composed.grid.shot == (40, "1pct")


def test_a_presets_own_override_about_a_variant_that_the_grid_leaves_out_is_left_out(params) -> None:
    grid = {**PARAMS["grid"], "variant": ["finetune"]}  # scenes_smoke has an override for clip_td
    composed = composition.compose(params(grid=grid))
    assert {run["variant"] for run in jobs.runs(composed)} == {"finetune"}


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


@pytest.mark.parametrize(
    ("dotted", "nested"),
    [
        ({"variants.clip_td.lambda0": 3}, {"variants": {"clip_td": {"lambda0": 3}, "finetune": {}}}),
        (
            {"variants.clip_td.lambda0": 3, "training.steps": 8},
            {"variants": {"clip_td.lambda0": 3}, "training.steps": 8},
        ),
        ({"variants.clip_td.by_task.vqa.lambda0": 3}, {"variants.clip_td": {"by_task": {"vqa": {"lambda0": 3}}}}),
        ({"variants.mad.teacher.text": "clip_scenes"}, {"variants": {"mad": {"teacher": {"text": "clip_scenes"}}}}),
        (
            {"datasets.scenes_smoke_vqa.roles.dev.share": 0.5},
            {"datasets.scenes_smoke_vqa.roles": {"dev": {"share": 0.5}}},
        ),
    ],
)
def test_nested_overrides_are_dotted_ones(params, dotted: dict, nested: dict) -> None:
    none, plain, same = (composition.compose(params(overrides=given)) for given in ({}, dotted, nested))
    assert sections_of(same) == sections_of(plain) != sections_of(none)
    assert list(jobs.runs(same)) == list(jobs.runs(plain))


def test_the_value_preset_leaves_the_presets(params) -> None:
    given = {"training": {"steps": "preset"}, "variants.clip_td.lambda0": "preset"}
    none, same = (composition.compose(params(overrides=overrides)) for overrides in ({}, given))
    assert sections_of(same) == sections_of(none)
    assert list(jobs.runs(same)) == list(jobs.runs(none))


def sections_of(c: Composition) -> tuple[Any, ...]:
    return c.training, c.variants, c.datasets


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


def test_a_head_that_does_not_fit_the_task_is_named(params) -> None:
    grid = {**PARAMS["grid"], "dataset": ["scenes_smoke_vcr"]}
    with pytest.raises(UserError, match=r"head of vilt_scenes is vilt, .* but scenes_smoke_vcr has choices"):
        composition.compose(params(grid=grid, overrides={"students.vilt_scenes.head": "vilt"}))


def test_an_adversary_is_for_students_that_take_shifts(params) -> None:
    changes = {"training.adversarial": {"of": ["text"], "steps": 3, "rate": 1e-3, "kl_weight": 1.5}}
    with pytest.raises(UserError, match=r"vilt_scenes .*training.adversarial is for UNITER and VILLA"):
        composition.compose(params(overrides=changes))
    composed = composition.compose(params(overrides=changes, grid={**PARAMS["grid"], "student": ["uniter_scenes"]}))
    job = jobs.distill(composed, composed.cells[0])
    assert job["training"]["adversarial"] == changes["training.adversarial"]


def test_broken_yaml_and_a_missing_file(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    with pytest.raises(UserError, match="is missing; run from the project's root"):
        composition.compose(path)
    path.write_text("experiment: [")
    with pytest.raises(UserError, match=r"params\.yaml is not valid YAML: .*line"):
        composition.compose(path)


def test_overrides_reach_methods_students_and_training(params) -> None:
    changes = {"variants.clip_td.lambda0": 7, "students.vilt_scenes.architecture.hidden_size": 32, "training.steps": 5}
    composed = composition.compose(params(overrides=changes))
    job = jobs.distill(composed, Cell("scenes_smoke_vqa", "vilt_scenes", "clip_td", "40"))
    assert job["method"]["lambda0"] == 7
    assert job["student"]["architecture"]["hidden_size"] == 32
    assert job["training"]["steps"] == 5


def test_what_was_tuned_for_a_task_wins_over_the_variant() -> None:
    tuned = {"method": "naive_kd", "lambda0": 2, "by_task": {"vqa": {"lambda0": 3}}}
    method = declaration("naive_kd").settings(name="naive_kd", distance="l1", anneal="none", lambda0=1)
    composed = sections(variants={"v": tuned}, methods={"naive_kd": method})
    assert precedence.settings(composed, "v", "vqa", "40").lambda0 == 3
    assert precedence.settings(composed, "v", "entailment", "40").lambda0 == 2


@pytest.mark.parametrize(
    ("task", "shot", "lambda0", "rate"),
    [
        ("vcr", "300", 2, 0.2),  # the variant's own
        ("vcr", "100", 3, 0.3),  # of the shot
        ("entailment", "100", 4, 0.3),  # the task says a strength, and no rate
        ("vqa", "300", 5, 0.2),
        ("vqa", "100", 6, 0.6),  # of the shot in the task
    ],
)
def test_settings_and_recipe_of_a_variant_by_shot_and_task(task: str, shot: str, lambda0: float, rate: float) -> None:
    tuned = {
        "method": "naive_kd", "lambda0": 2, "training": {"learning_rate": 0.2},
        "by_shot": {100: {"lambda0": 3, "training": {"learning_rate": 0.3}}},
        "by_task": {
            "entailment": {"lambda0": 4},
            "vqa": {"lambda0": 5, "by_shot": {"100": {"lambda0": 6, "training": {"learning_rate": 0.6}}}},
        },
    }  # fmt: skip
    composed = sections(
        variants={"v": tuned},
        methods={
            "naive_kd": declaration("naive_kd").settings(name="naive_kd", distance="l1", anneal="none", lambda0=1)
        },
        students={"s": Student.model_validate({"name": "s", "kind": "k"})},
        datasets={task: SimpleNamespace(task=task)},
        training={"steps": 10, "batch_size": 9, "learning_rate": 0.1, "by_shot": {100: {"learning_rate": 0.9}}},
    )
    assert precedence.settings(composed, "v", task, shot).lambda0 == lambda0
    assert precedence.recipe(composed, Cell(task, "s", "v", shot)).learning_rate == rate


def test_by_shot_reaches_its_jobs_and_no_other(params) -> None:
    changes = {"variants.clip_td.by_shot.40": {"lambda0": 7, "training": {"learning_rate": 0.5}}}
    grid = {**PARAMS["grid"], "shot": [40, "1pct"]}
    composed = composition.compose(params(overrides=changes, grid=grid))
    before = composition.compose(params(grid=grid))
    for cell in composed.cells:
        job = jobs.distill(composed, cell)
        if cell.variant == "clip_td" and cell.shot == "40":
            assert (job["method"]["lambda0"], job["training"]["learning_rate"]) == (7, 0.5)
        else:
            assert job == jobs.distill(before, cell)


@pytest.mark.parametrize(
    "key", ["variants.clip_td.by_shot.400.lambda0", "variants.clip_td.by_task.vqa.by_shot.400.lambda0"]
)
def test_by_shot_for_a_shot_that_no_run_has_is_refused_in_overrides(params, key: str) -> None:
    grid = {**PARAMS["grid"], "shot": [40, 100]}
    section = key.rpartition(".")[0]
    with pytest.raises(UserError, match=rf"params.yaml: overrides: {section} sets values of no run; .*'40'"):
        composition.compose(params(overrides={key: 3}, grid=grid))


def test_what_a_user_sets_wins_over_what_the_preset_tuned(params) -> None:
    changes = {"variants.clip_td.lambda0": 7, "training.learning_rate": 0.5}
    composed = composition.compose(params(overrides=changes))
    for task in ("vqa", "entailment"):
        assert precedence.settings(composed, "clip_td", task, "40").lambda0 == 7
    cell = Cell("scenes_smoke_vqa", "vilt_scenes", "finetune", "40")
    assert precedence.recipe(composed, cell).learning_rate == 0.5


def test_a_job_gets_only_the_values_it_reads(params) -> None:
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
        lambda c: jobs.evaluate(c, Cell("scenes_smoke_vqa", "vilt_scenes", "clip_td", "40")),
    ):
        assert cut(before) == cut(after)


def test_a_config_argument_that_nothing_reads() -> None:
    with pytest.raises(UserError, match=r"--config experimant=\.\.\. is not a known key; did you mean 'experiment'\?"):
        jobs.check_arguments({"experimant": "x"})


BLOCKS = Preset.model_validate(
    {
        "grid": {"dataset": ["a", "b"], "student": ["s"], "variant": ["x", "y"], "shot": [10, 20], "seed": [1, 2]},
        "grids": [{"dataset": ["a"]}, {"dataset": ["b"], "shot": ["full"]}, {"dataset": ["a"], "variant": ["y"]}],
        "reference": "x",
        "variants": {"x": {"method": "m"}, "y": {"method": "m"}},
        "training": {},
    }
)


def crossed(blocks: list[Grid]) -> list[tuple]:
    grid = {key: tuple(dict.fromkeys(v for block in blocks for v in getattr(block, key))) for key in Grid.model_fields}
    return sections(grid=Grid(**grid), blocks=blocks).cells


def test_blocks_are_crossed_each_on_its_own_and_united_without_duplicates() -> None:
    blocks = composition.blocks(BLOCKS, GivenGrid(), "p", "params.yaml")
    assert crossed(blocks) == [
        ("a", "s", "x", "10"), ("a", "s", "x", "20"), ("a", "s", "y", "10"), ("a", "s", "y", "20"),
        ("b", "s", "x", "full"), ("b", "s", "y", "full"),
    ]  # fmt: skip
    assert all(block.seed == (1, 2) for block in blocks)


def test_a_list_of_params_keeps_of_the_blocks_what_it_names() -> None:
    given = {"dataset": ["b", "a"], "shot": [20, "full"], "variant": ["x"], "seed": [7]}
    blocks = composition.blocks(BLOCKS, GivenGrid.model_validate(given), "p", "params.yaml")
    assert crossed(blocks) == [("a", "s", "x", "20"), ("b", "s", "x", "full")]
    assert all(block.seed == (7,) for block in blocks)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"shot": [30]}, "params.yaml: grid.shot names 30, which no block of experiment p has"),
        ({"dataset": ["b"], "shot": [10]}, "grid leaves nothing of the blocks of experiment p"),
    ],
)
def test_mistakes_in_blocks(given: dict, message: str) -> None:
    with pytest.raises(UserError) as mistake:
        composition.blocks(BLOCKS, GivenGrid.model_validate(given), "p", "params.yaml")
    assert message in str(mistake.value)


def test_a_preset_of_blocks_runs_only_them(params) -> None:
    composed = composition.compose(params(), experiment="scenes_protocol")
    found = {(cell[0], cell[2], cell[3]) for cell in composed.cells}
    assert ("scenes_vqa", "naive_kd", "3000") in found
    assert ("scenes_vqa", "naive_kd", "full") not in found
    assert ("scenes_ve_biased", "clip_td", "100") not in found
    assert ("scenes_ve_biased", "100") not in jobs.train_splits(composed)
    assert len(jobs.runs(composed)) == 5 * len(composed.cells)


RECIPES = sections(
    variants={
        "plain": {"method": "finetune"},
        "tuned": {
            "method": "finetune", "training": {"clip": 4}, "by_task": {"vqa": {"training": {"steps": 50}}}
        },
    },
    students={
        "s": Student.model_validate({"name": "s", "kind": "k", "recipe": {"vqa": {"clip": 2, "steps": 20}}}),
        "t": Student.model_validate({"name": "t", "kind": "k"}),
    },
    datasets={task: SimpleNamespace(task=task) for task in ("vqa", "vcr", "entailment")},
    training={
        "clip": 1, "steps": 10, "batch_size": 9, "learning_rate": 9,
        "by_shot": {100: {"steps": 30}, "full": {"clip": 3}},
        "by_task": {"vcr": {"steps": 40}},
    },
)  # fmt: skip


@pytest.mark.parametrize(
    ("variant", "task", "student", "shot", "clip", "steps"),
    [
        ("plain", "vqa", "t", "300", 1, 10),
        ("plain", "vqa", "s", "300", 2, 20),
        ("plain", "entailment", "s", "300", 1, 10),
        ("plain", "vqa", "s", "100", 2, 30),
        ("plain", "vqa", "s", "full", 3, 20),
        ("tuned", "vqa", "s", "100", 4, 50),
        ("tuned", "entailment", "s", "100", 4, 30),
        ("plain", "vcr", "t", "100", 1, 40),
        ("tuned", "vcr", "t", "full", 4, 40),
    ],
)
def test_what_is_said_more_narrowly_of_training_wins(
    variant: str, task: str, student: str, shot: str, clip: int, steps: int
) -> None:
    found = precedence.recipe(RECIPES, Cell(task, student, variant, shot)).written()
    assert found == {"clip": clip, "steps": steps, "batch_size": 9, "learning_rate": 9}


def test_a_students_recipe_reaches_its_runs_and_not_its_configuration(params) -> None:
    composed = composition.compose(params(), experiment="paper_vqa")
    job = jobs.distill(composed, Cell("vqa_v2", "vilt_b32", "clip_td", "full"))
    assert (job["training"]["steps"], job["training"]["head_multiplier"]) == (17300, 10.0)
    assert "recipe" not in job["student"]
    assert jobs.distill(composed, Cell("vqa_v2", "vilt_b32", "clip_td", "1pct"))["training"]["steps"] == 2000


def test_what_a_user_sets_wins_over_recipes_and_shots(params) -> None:
    grid = {"dataset": ["vqa_v2"], "student": ["vilt_b32"], "variant": ["finetune"]}
    changes = {"training.steps": 7, "students.vilt_b32.recipe.vqa.learning_rate": 0.5}
    path = params(experiment="paper_vqa", grid=grid, overrides=changes)
    composed = composition.compose(path)
    for shot in ("100", "full"):
        training = precedence.recipe(composed, Cell("vqa_v2", "vilt_b32", "finetune", shot))
        assert (training.steps, training.learning_rate) == (7, 0.5)


def test_overrides_win_over_the_preset_and_the_narrower_of_them_over_the_wider(params) -> None:
    grid = {"dataset": ["vqa_v2"], "student": ["vilt_b32"], "variant": ["finetune"]}
    changes = {"training.by_shot.100.steps": 5, "students.vilt_b32.recipe.vqa.steps": 9, "training.steps": 7}
    composed = composition.compose(params(experiment="paper_vqa", grid=grid, overrides=changes))
    cells = {shot: Cell("vqa_v2", "vilt_b32", "finetune", shot) for shot in ("100", "1000")}
    steps = {shot: precedence.recipe(composed, cell).steps for shot, cell in cells.items()}
    assert steps == {"100": 5, "1000": 9}  # the preset says 500 and 1,000 for these shots


def test_all_missing_data_are_reported_at_once(params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    composed = composition.compose(params(), experiment="paper_snli_ve")
    missing = jobs.missing(composed)
    assert sorted(missing["download"]) == ["flickr30k", "snli_ve"]
    assert list(missing["extract"]) == ["butd snli_ve"]
    assert list(missing["distill"]) == ["uniter_base", "uniter_large"]
    text = jobs.missing_message("paper_snli_ve", missing)
    assert text.count("put") >= 2
    for name in ("snli_ve_train.jsonl", "data/incoming/butd/flickr30k", "models/official/uniter-base.pt"):
        assert name in text
    assert jobs.incoming(composed, "snli_ve") == []


def test_two_teachers_of_a_variant_are_allowed_wherever_one_is(params) -> None:
    grid = {**PARAMS["grid"], "variant": ["finetune", "mad", "mad_clip", "plug_in"]}
    eyes, ears = "efficientnet_lite0_scenes", "minilm_l6"
    composed = composition.compose(params(grid=grid))
    assert composed.artifacts.teacher == ["clip_scenes", eyes, f"{eyes}_patches", ears]
    job = jobs.distill(composed, Cell("scenes_smoke_vqa", "vilt_scenes", "mad", "40"))
    assert job["teacher"] == {
        "name": f"{eyes}+{ears}",
        "vision": {"name": eyes, "kind": "vision"},
        "text": {"name": ears, "kind": "text"},
    }
    manifests = [f"features/{name}/scenes_smoke_vqa/manifest.json" for name in (eyes, ears)]
    assert jobs.features_of(composed, "mad", "scenes_smoke_vqa") == manifests
    # the towers of one CLIP are one teacher, so that cosines between images and words mean something
    clip = jobs.distill(composed, Cell("scenes_smoke_vqa", "vilt_scenes", "mad_clip", "40"))
    assert clip["teacher"] == {"name": "clip_scenes", "kind": "clip"}
    assert len(jobs.features_of(composed, "mad_clip", "scenes_smoke_vqa")) == 1
    assert {run["variant"]: run["teacher"] for run in jobs.runs(composed)} == {
        "finetune": None, "mad": f"{eyes}+{ears}", "mad_clip": "clip_scenes", "plug_in": f"{eyes}_patches"
    }  # fmt: skip
    assert "dev" in jobs.extract(composed, f"{eyes}_patches", "scenes_smoke_vqa")["dataset"]["roles"]
    assert set(jobs.extract(composed, eyes, "scenes_smoke_vqa")["dataset"]["roles"]) == {"train"}


def test_a_probe_reads_stored_features_also_of_what_is_evaluated(params) -> None:
    composed = composition.compose(params(grid={**PARAMS["grid"], "variant": ["finetune", "clip_probe"]}))
    job = jobs.distill(composed, Cell("scenes_smoke_vqa", "vilt_scenes", "clip_probe", "40"))
    assert job["teacher"] == {"name": "clip_scenes_patches", "kind": "clip"}
    assert jobs.targets(composed) == {}
    with pytest.raises(UserError, match=r"'clip_scenes', whose features are those of training items, .*splits: used"):
        composition.compose(params(overrides={"variants.clip_probe.teacher": "clip_scenes"}))


def test_a_method_of_soft_answers_has_them_computed_once_for_all_strengths(params) -> None:
    grid = {**PARAMS["grid"], "variant": ["finetune", "logit_kd"]}
    found = [
        jobs.targets(composition.compose(params(grid=grid, overrides={"variants.logit_kd.lambda0": strength})))
        for strength in (1, 3)
    ]
    assert found[0] == found[1]
    assert {job["targets"]["answers"]["kept"] for job in found[0].values()} == {32}


def test_a_variant_may_be_given_another_teacher(params) -> None:
    changes = {"variants.clip_td.teacher": "clip_vit_b32"}
    composed = composition.compose(params(overrides=changes))
    assert composed.artifacts.teacher == ["clip_vit_b32"]
    assert (
        jobs.distill(composed, Cell("scenes_smoke_vqa", "vilt_scenes", "clip_td", "40"))["teacher"]["name"]
        == "clip_vit_b32"
    )
    with pytest.raises(UserError, match=r"names 'clip_vit_b23', which does not exist; did you mean 'clip_vit_b32'\?"):
        composition.compose(params(overrides={"variants.clip_td.teacher": "clip_vit_b23"}))


def test_a_presets_own_override_about_a_data_set_that_the_grid_leaves_out_is_left_out(params) -> None:
    for name, sets in (("scenes_ve", 6), ("scenes_vqa", 4)):  # scenes_protocol names scenes_ve's sets
        grid = {"dataset": [name], "variant": ["finetune", "clip_td"], "shot": [300]}
        composed = composition.compose(params(experiment="scenes_protocol", grid=grid))
        assert len(composed.datasets[name].evaluation_sets) == sets
