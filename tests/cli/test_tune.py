"""`vlkd tune` on made-up values of dev."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from vlkd_steps.cli import tune
from vlkd_steps.config import composition, phases, precedence
from vlkd_steps.config.models.composition import Composition
from vlkd_steps.core import files, layout
from vlkd_steps.evaluation import summary, tables, tuned_preset, tuning
from vlkd_steps.graph import phase_manifest

SWEEP = {"variants.clip_td.sweep": {"lambda0": [1, 3, 10], "learning_rate": [1e-3, 4e-3]}}
GRID = {"dataset": ["scenes_vqa", "scenes_ve"], "variant": ["finetune", "clip_td"], "shot": [100], "seed": [0, 1]}
BEST = {"vqa": (3, 4e-3), "entailment": (10, 1e-3)}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Composition]:
    """params.yaml of an experiment with a sweep, in the current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "250")
    (tmp_path / "conf").mkdir()

    def made(**changes: Any) -> Composition:
        params = {"experiment": "scenes", "grid": GRID, "overrides": SWEEP, "conf": ["conf"]} | changes
        (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
        return composition.compose()

    return made


def finished(c: Composition, value: Callable[[str, dict[str, Any]], float]) -> None:
    """Write `summary.csv` with these values: value(task, swept) on dev, and better ones of other members on test."""
    rows = []
    for cell in c.cells:
        for seed in c.grid.seed:
            member, task = c.members.get(cell.variant), c.datasets[cell.dataset].task
            on_dev = value(task, dict(member.swept) if member else {})
            described = {"dataset": cell.dataset, "student": cell.student, "variant": cell.variant, "shot": cell.shot}
            described |= {"seed": seed, "metric": "accuracy", "run_key": f"{cell.dataset}-{cell.variant[-3:]}-{seed}"}
            rows.append(described | {"evaluation_set": "dev", "value": on_dev + seed})
            rows.append(described | {"evaluation_set": "test", "value": 90.0 - on_dev})
    files.write_text(layout.results(c.experiment) / "summary.csv", summary.table(rows))


def known(task: str, swept: dict[str, Any]) -> float:
    lambda0, rate = BEST[task]
    return 50.0 - abs(swept.get("lambda0", 0) - lambda0) - 1000 * abs(swept.get("learning_rate", 0) - rate)


def test_trials_that_were_trained_again_since_are_refused(
    project: Callable[..., Composition], capsys: pytest.CaptureFixture[str]
) -> None:
    c = project()
    finished(c, known)
    folder = layout.run(c.experiment, *c.cells[0], 1)
    folder.mkdir(parents=True)
    layout.run_config(folder).write_text("run_key: another\n")
    assert tune.main(["scenes"]) == 2
    assert f"the first is {folder}; make it again: vlkd run scenes" in capsys.readouterr().err


def test_the_best_by_dev_of_each_task(project: Callable[..., Composition], capsys: pytest.CaptureFixture[str]) -> None:
    finished(project(), known)
    assert tune.main(["scenes"]) == 0
    vqa, entailment = [line for line in capsys.readouterr().out.splitlines() if "clip_td" in line]
    assert [each.strip() for each in vqa.split("|")] == [
        "vqa", "vilt_scenes", "100", "clip_td", "lambda0=3, learning_rate=0.004", "accuracy", "50.50", "0 1",
        "lambda0=1, learning_rate=0.004: 48.50", "learning_rate is the largest that was tried",
    ]  # fmt: skip
    assert "lambda0=10, learning_rate=0.001" in entailment
    assert "lambda0 is the largest that was tried; learning_rate is the least that was tried" in entailment


def test_values_of_another_configuration_are_said_to_be_such(
    project: Callable[..., Composition], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    c = project()
    finished(c, known)
    monkeypatch.setattr(phase_manifest, "_check_runs", lambda c: None)  # there are no runs
    for phase in phases.PHASES:
        files_of = phase_manifest.config(c.experiment, phase, phases.of_phase(c, phase))["files"]
        entries = {path: {"sha256": "", "made_by": made_by} for path, made_by in files_of.items()}
        files.write_json(layout.phase_manifest(c.experiment, phase), {"files": entries})
    assert tune.main(["scenes"]) == 0
    assert capsys.readouterr().err == ""
    project(overrides={**SWEEP, "training.steps": 700})
    assert tune.main(["scenes"]) == 0
    assert "may be of an earlier run: runs/scenes/" in capsys.readouterr().err


def test_a_narrow_terminal_breaks_no_name(
    project: Callable[..., Composition], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    finished(project(), known)
    assert tune.main(["scenes"]) == 0
    said = capsys.readouterr().out
    for whole in ("student", "vilt_scenes", "entailment", "accuracy", "lambda0=3", "learning_rate=0.004"):
        assert whole in said


def test_the_preset_that_is_written_composes(project: Callable[..., Composition]) -> None:
    finished(project(), known)
    assert tune.main(["scenes", "--write"]) == 0
    text = Path("conf/experiment/scenes_tuned.yaml").read_text()
    assert "accuracy on dev 50.50, mean of 2 runs: scenes_vqa-004-0 scenes_vqa-004-1" in text
    assert "second: clip_td[lambda0=1, learning_rate=0.004] with 48.50" in text
    c = composition.compose(experiment="scenes_tuned")
    assert not c.members
    for cell in c.cells:
        if cell.variant == "clip_td":
            task = c.datasets[cell.dataset].task
            rate = precedence.recipe(c, cell).learning_rate
            assert (precedence.settings(c, "clip_td", task, "40").written()["lambda0"], rate) == BEST[task]


def test_the_preset_of_a_preset_with_sweeps_and_blocks(project: Callable[..., Composition]) -> None:
    text = """# @package _global_
defaults: [scenes, _self_]
grids:
  - {dataset: [scenes_vqa], variant: [finetune]}
  - {dataset: [scenes_ve], variant: ["clip_td[lambda0=3]", finetune]}
reference: "finetune[learning_rate=0.002]"
highlight: "clip_td[lambda0=3]"
variants:
  finetune: {sweep: {learning_rate: [0.001, 0.002]}}
  clip_td: {sweep: {lambda0: [1, 3], by_task.vqa.learning_rate: [0.001]}}
"""
    Path("conf/experiment").mkdir()
    Path("conf/experiment/mine.yaml").write_text(text.replace(", by_task.vqa.learning_rate: [0.001]", ""))
    c = project(experiment="mine", grid={}, overrides={})
    finished(c, lambda task, swept: 1000 * swept.get("learning_rate", 0) + swept.get("lambda0", 0))
    assert tune.main(["mine", "--write", "conf/experiment/chosen.yaml"]) == 0
    chosen = composition.compose(experiment="chosen")
    assert (chosen.preset.reference, chosen.preset.highlight) == ("finetune", "clip_td")
    assert [block.variant for block in chosen.blocks] == [("finetune",), ("clip_td", "finetune")]
    assert {precedence.recipe(chosen, x).learning_rate for x in chosen.cells if x.variant == "finetune"} == {0.002}
    assert precedence.settings(chosen, "clip_td", "entailment", "100").written()["lambda0"] == 3


def test_what_params_overrides_is_written_with_the_values_chosen_under_it(project: Callable[..., Composition]) -> None:
    own = {"training": {"steps": 700}, "variants.clip_td.distance": "mse", "reference": "clip_td[lambda0=3]"}
    sweep = {"variants.clip_td.sweep": {"lambda0": [1, 3]}}
    finished(project(overrides={**own, **sweep}, grid=GRID | {"dataset": ["scenes_vqa"]}), known)
    assert tune.main(["scenes", "--write"]) == 0
    c = composition.compose(experiment="scenes_tuned")
    assert not c.members
    assert c.preset.reference == "clip_td"
    assert c.grid.dataset == ("scenes_vqa",)
    of_variant = [cell for cell in c.cells if cell.variant == "clip_td"]
    assert {precedence.recipe(c, cell).steps for cell in of_variant} == {700}
    found = [precedence.settings(c, "clip_td", "vqa", cell.shot).written() for cell in of_variant]
    assert {(each["distance"], each["lambda0"]) for each in found} == {("mse", 3)}
    project(overrides={"training.steps": 700}, experiment="scenes_smoke", grid={})
    assert "700" not in tuned_preset.text(composition.compose(experiment="scenes"), [])  # they are of another


def test_a_preset_with_claims_keeps_the_data_sets_that_they_are_about(project: Callable[..., Composition]) -> None:
    preset("""
claims: {no_loss: {extends: papers.no_loss, dataset: [scenes_ve], shot: [100]}}
""")
    grid = GRID | {"dataset": ["scenes_vqa"]}
    finished(project(experiment="mine", grid=grid, overrides={"variants.clip_td.sweep": {"lambda0": [1, 3]}}), known)
    assert tune.main(["mine", "--write", "conf/experiment/chosen.yaml"]) == 0
    c = composition.compose(experiment="chosen")
    assert list(c.claims) == ["no_loss"]
    assert "scenes_ve" in c.grid.dataset


def test_blocks_that_params_left_out_are_not_written(project: Callable[..., Composition]) -> None:
    preset("""
grid: {dataset: [scenes_vqa], variant: [finetune, clip_td], shot: [100], seed: [0, 1]}
grids: [{variant: [finetune]}, {dataset: [scenes_vqa, scenes_ve]}, {dataset: [scenes_vcr]}]
variants: {clip_td: {sweep: {lambda0: [1, 3]}}}
""")
    c = project(experiment="mine", grid={"dataset": ["scenes_ve"]}, overrides={})
    finished(c, lambda _, swept: swept.get("lambda0", 0))
    assert tune.main(["mine", "--write", "conf/experiment/chosen.yaml"]) == 0
    assert [block.dataset for block in composition.compose(experiment="chosen").blocks] == [("scenes_ve",)]


def test_of_several_students_the_mean_is_written(project: Callable[..., Composition]) -> None:
    c = project(grid=GRID | {"student": ["vilt_scenes", "uniter_scenes"]})
    finished(c, known)
    rows = summary_rows(c)
    assert len(tuning.choices(c, rows)) == 4
    assert [(each.group, len(each.trials[0].run_keys)) for each in tuning.choices(c, rows, tuning.by_task)] == [
        (("vqa", "100", "clip_td"), 4),
        (("entailment", "100", "clip_td"), 4),
    ]


def preset(text: str) -> None:
    Path("conf/experiment").mkdir(exist_ok=True)
    Path("conf/experiment/mine.yaml").write_text(f"# @package _global_\ndefaults: [scenes, _self_]\n{text}")


def test_blocks_keep_the_presets_own_variants_whatever_params_names(project: Callable[..., Composition]) -> None:
    preset("""
grid: {dataset: [scenes_vqa], variant: [finetune, clip_td], seed: [0, 1]}
grids: [{shot: [100]}, {shot: [300], variant: [finetune, naive_kd]}]
variants: {clip_td: {sweep: {lambda0: [1, 3]}}}
""")
    finished(project(experiment="mine", grid={}, overrides={}), lambda _, swept: swept.get("lambda0", 0))
    assert tune.main(["mine", "--write", "conf/experiment/chosen.yaml"]) == 0
    crossed = {(cell.variant, cell.shot) for cell in composition.compose(experiment="chosen").cells}
    assert crossed == {("finetune", "100"), ("clip_td", "100"), ("finetune", "300"), ("naive_kd", "300")}


def test_what_one_shot_chose_is_said_for_all_and_only_what_was_chosen_is_renamed(
    project: Callable[..., Composition],
) -> None:
    preset("""
reference: "naive_kd[lambda0=1]"
variants:
  clip_td: {sweep: {lambda0: [11, 13]}}
  naive_kd: {sweep: {lambda0: [1, 10]}}
""")
    grid = {"dataset": ["scenes_vqa"], "variant": ["clip_td"], "shot": [100], "seed": [0, 1]}
    finished(project(experiment="mine", grid=grid, overrides={}), lambda _, swept: swept.get("lambda0", 0))
    assert tune.main(["mine", "--write", "conf/experiment/chosen.yaml"]) == 0
    chosen = composition.compose(experiment="chosen")
    assert chosen.members[chosen.preset.reference].label == "naive_kd[lambda0=1]"
    for shot in ("100", "300", "1000"):
        assert precedence.settings(chosen, "clip_td", "vqa", shot).written()["lambda0"] == 13


PLACES = """
grid: {dataset: [scenes_vqa], variant: [finetune, clip_td], shot: [100], seed: [0, 1]}
grids: [{student: [vilt_scenes], variant: [%s]}, {student: [uniter_scenes], variant: ["clip_td[lambda0=3]"]}]
highlight: finetune
variants: {clip_td: {sweep: {lambda0: [1, 3]}}}
"""


def test_members_are_compared_where_all_of_them_were_run(project: Callable[..., Composition]) -> None:
    preset(PLACES % "finetune, clip_td")
    c = project(experiment="mine", grid={}, overrides={})
    finished(c, lambda _, swept: 40.0 + swept.get("lambda0", 0))
    rows = summary_rows(c)
    for row in rows:  # a weaker student, which only one member was run with
        row["value"] -= 30.0 if row["student"] == "uniter_scenes" else 0.0
    [choice] = tuning.choices(c, rows, tuning.by_task)
    assert [c.label(trial.member) for trial in choice.trials] == ["clip_td[lambda0=3]", "clip_td[lambda0=1]"]
    assert [len(trial.run_keys) for trial in choice.trials] == [2, 2]


def test_members_that_were_run_nowhere_together_are_refused(
    project: Callable[..., Composition], capsys: pytest.CaptureFixture[str]
) -> None:
    preset(PLACES % 'finetune, "clip_td[lambda0=1]"')
    finished(project(experiment="mine", grid={}, overrides={}), lambda _, swept: swept.get("lambda0", 0))
    assert tune.main(["mine", "--write", "conf/experiment/chosen.yaml"]) == 2
    assert "no data set and student for all of clip_td[lambda0=1], clip_td[lambda0=3]" in capsys.readouterr().err
    assert not Path("conf/experiment/chosen.yaml").exists()


def test_a_variant_like_another_keeps_what_its_own_trials_had(project: Callable[..., Composition]) -> None:
    preset("""
grid: {dataset: [scenes_vqa], variant: [finetune, mad, mad_x], shot: [100], seed: [0, 1]}
highlight: finetune
variants:
  mad: {sweep: {whitening: [none, pca], lambda0: [3, 10]}}
  mad_x: {like: mad, weight: uniform, sweep: {lambda0: [3, 10]}}
""")
    by_whitening = {"none": 0, "pca": 5}
    finished(
        project(experiment="mine", grid={}, overrides={}),
        lambda _, swept: swept.get("lambda0", 0) + by_whitening.get(swept.get("whitening"), 0),
    )
    assert tune.main(["mine", "--write", "conf/experiment/chosen.yaml"]) == 0
    chosen = composition.compose(experiment="chosen")
    found = {name: precedence.settings(chosen, name, "vqa", "100").written() for name in ("mad", "mad_x")}
    assert {name: (each["whitening"], each["lambda0"]) for name, each in found.items()} == {
        "mad": ("pca", 10),
        "mad_x": ("none", 10),
    }


def test_what_was_not_tuned_stays_what_it_is_for_the_shot(project: Callable[..., Composition]) -> None:
    c = project(overrides={"variants.clip_td.sweep": {"lambda0": [1, 3]}})
    finished(c, known)
    assert tune.main(["scenes", "--write"]) == 0
    tuned = composition.compose(Path("params.yaml"), "scenes_tuned")
    of_trials = {cell.dataset: precedence.recipe(c, cell) for cell in c.cells if cell.variant in c.members}
    for cell in tuned.cells:
        if cell.variant == "clip_td" and cell.shot == "100":
            assert precedence.recipe(tuned, cell) == of_trials[cell.dataset]


def test_a_key_that_only_another_variant_of_the_method_sweeps_and_no_file_says(
    project: Callable[..., Composition],
) -> None:
    Path("conf/experiment").mkdir()
    Path("conf/experiment/mine.yaml").write_text(
        "# @package _global_\ndefaults: [scenes, _self_]\nvariants:\n"
        "  clip_td: {sweep: {lambda0: [1, 3]}}\n  betas: {like: clip_td, sweep: {head_multiplier: [1, 2]}}\n"
    )
    c = project(experiment="mine", grid={**GRID, "variant": ["finetune", "clip_td", "betas"]}, overrides={})
    finished(c, lambda task, swept: 50.0 + swept.get("lambda0", 0) + swept.get("head_multiplier", 0))
    assert tune.main(["mine", "--write"]) == 0
    written = yaml.safe_load(Path("conf/experiment/mine_tuned.yaml").read_text())["variants"]["clip_td"]["by_task"]
    assert written["vqa"] | {"by_shot": None} == {"lambda0": 3, "training": {"head_multiplier": 1.0}, "by_shot": None}


def test_what_was_tuned_is_run_though_the_presets_grid_lacks_it(project: Callable[..., Composition]) -> None:
    preset("variants: {mad: {sweep: {lambda0: [1, 3]}}}\n")  # scenes runs finetune, naive_kd and clip_td
    grid = {"dataset": ["scenes_vqa"], "variant": ["finetune", "mad"], "shot": [100], "seed": [0, 1]}
    finished(project(experiment="mine", grid=grid, overrides={}), lambda _, swept: swept.get("lambda0", 0))
    assert tune.main(["mine", "--write", "conf/experiment/chosen.yaml"]) == 0
    assert "mad" in composition.compose(experiment="chosen").grid.variant


def test_a_folder_that_may_not_be_written_is_refused_before_the_table(
    project: Callable[..., Composition], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    finished(project(), known)
    monkeypatch.setattr(files, "writable", lambda path: False)
    assert tune.main(["scenes", "--write"]) == 2
    said = capsys.readouterr()
    assert "--write conf/experiment/scenes_tuned.yaml: cannot be written" in said.err
    assert not said.out


def test_a_sweep_in_a_presets_overrides_is_refused_since_it_would_be_inherited(
    project: Callable[..., Composition], capsys: pytest.CaptureFixture[str]
) -> None:
    preset("overrides: {variants.clip_td.sweep: {lambda0: [1, 10]}}\n")
    finished(project(experiment="mine", grid=GRID, overrides={}), lambda _, swept: swept.get("lambda0", 0))
    assert tune.main(["mine", "--write", "conf/experiment/chosen.yaml"]) == 2
    assert "the overrides of mine set variants.clip_td.sweep" in capsys.readouterr().err
    assert not Path("conf/experiment/chosen.yaml").exists()


@pytest.mark.parametrize(
    ("text", "sweep", "reason"),
    [
        (
            "overrides: {variants.clip_td.adaptive_steps: 4}\n",
            {"adaptive_steps": [2, 3]},
            "adaptive_steps of clip_td for vqa at 100 would be 4 instead of 3, since the overrides of mine",
        ),
        (
            "overrides: {training.warmup: 0.3}\n",
            {"warmup": [0.1, 0.2]},
            "warmup of clip_td for vqa at 100 would be 0.3 instead of 0.2, since the overrides of mine",
        ),
        (
            'variants: {after: {method: finetune, init: "clip_td[lambda0=3]"}}\n',
            {"lambda0": [1, 3]},
            "would not compose: conf/experiment/mine.yaml: variants.after.init names 'clip_td[lambda0=3]'",
        ),
    ],
)
def test_a_preset_without_the_chosen_values_does_not_stay(
    project: Callable[..., Composition],
    capsys: pytest.CaptureFixture[str],
    text: str,
    sweep: dict[str, list[float]],
    reason: str,
) -> None:
    preset(text)
    changes = {"variants.clip_td.sweep": sweep}
    finished(project(experiment="mine", grid=GRID, overrides=changes), lambda _, swept: sum(swept.values()))
    assert tune.main(["mine", "--write", "conf/experiment/chosen.yaml"]) == 2
    error = capsys.readouterr().err
    assert "conf/experiment/chosen.yaml is not written" in error
    assert reason in error
    assert not Path("conf/experiment/chosen.yaml").exists()


NOT_TRIED = {"vqa": (10, 8e-3), "entailment": (10, 4e-3)}
"""lambda0 and the rate of clip_td at 1,000 as `scenes` has them."""


def test_of_several_shots_each_has_its_values(project: Callable[..., Composition]) -> None:
    c = project(grid=GRID | {"shot": [100, 300]})
    finished(c, known)
    rows = summary_rows(c)
    for row in rows:  # at 100 the weakest is best
        of = c.members.get(row["variant"])
        if of and row["shot"] == "100" and row["evaluation_set"] == "dev":
            row["value"] = 40.0 - of.swept["lambda0"] - of.swept["learning_rate"]
    files.write_text(layout.results(c.experiment) / "summary.csv", summary.table(rows))
    assert tune.main(["scenes", "--write"]) == 0
    chosen = composition.compose(experiment="scenes_tuned")
    found = {
        (chosen.datasets[cell.dataset].task, shot): (
            precedence.settings(chosen, "clip_td", chosen.datasets[cell.dataset].task, shot).written()["lambda0"],
            precedence.recipe(chosen, cell._replace(shot=shot)).learning_rate,
        )
        for cell in chosen.cells
        for shot in ("100", "300", "1000")
        if cell.variant == "clip_td"
    }
    assert found == {
        (task, shot): values
        for task, best in BEST.items()
        for shot, values in (("100", (1, 1e-3)), ("300", best), ("1000", NOT_TRIED[task]))
    }


def test_equal_members_come_in_the_order_of_the_sweep(
    project: Callable[..., Composition], capsys: pytest.CaptureFixture[str]
) -> None:
    c = project()
    finished(c, lambda task, swept: 40.0)
    labels = [c.label(trial.member) for trial in tuning.choices(c, summary_rows(c))[0].trials]
    assert labels[:2] == ["clip_td[lambda0=1, learning_rate=0.001]", "clip_td[lambda0=1, learning_rate=0.004]"]
    assert tune.main(["scenes"]) == 0
    assert "5 others are" in capsys.readouterr().out
    finished(c, lambda task, swept: 40.0 if swept.get("learning_rate") == 1e-3 else 0.0 + swept.get("lambda0", 0))
    assert [
        dict(c.members[each.member].swept)["lambda0"] for each in tuning.ties(tuning.choices(c, summary_rows(c))[0])
    ] == [3, 10]


def summary_rows(c: Composition) -> list[dict[str, Any]]:
    return tables.read(layout.results(c.experiment) / "summary.csv").to_dicts()


@pytest.mark.parametrize(
    ("changes", "arguments", "facts"),
    [
        ({"overrides": {}}, [], ["experiment scenes sweeps nothing", "variants.clip_td.sweep"]),
        (
            {"overrides": SWEEP | {f"datasets.{name}.evaluation_sets": ["test"] for name in GRID["dataset"]}},
            [],
            ["no run is evaluated on dev", "scenes_vqa, scenes_ve", "evaluation_sets"],
        ),
        ({"grid": GRID | {"seed": [0, 1, 2]}}, [], ["12 of 36 runs", "lambda0=1, learning_rate=0.001] 100 s2"]),
        ({"conf": []}, ["--write"], ["params.yaml: conf", "conf: [conf]"]),
        ({}, ["--write", "conf/there.yaml"], ["conf/there.yaml exists"]),
        ({}, ["--write", "conf/scenes.yaml"], ["conf/scenes.yaml cannot be the preset"]),
        (
            {},
            ["--write", "conf/scenes_full.yaml"],
            ["conf/scenes_full.yaml cannot be the preset", "called scenes_full"],
        ),
        ({}, ["--write", "chosen.yaml"], ["chosen.yaml would not be found", "as conf (conf)"]),
        ({}, ["conf/x.yaml"], ["conf/x.yaml", "without --write"]),
        ({}, ["--metric", "acuracy"], ["--metric names 'acuracy'", "did you mean 'accuracy'"]),
    ],
)
def test_mistakes(
    project: Callable[..., Composition],
    capsys: pytest.CaptureFixture[str],
    changes: dict[str, Any],
    arguments: list[str],
    facts: list[str],
) -> None:
    finished(project(), known)
    project(**changes)
    Path("conf/there.yaml").touch()
    before = sorted(Path().rglob("*"))
    assert tune.main(["scenes", *arguments]) == 2
    error = capsys.readouterr().err
    assert len(error.strip().splitlines()) == 1
    for fact in facts:
        assert fact in error
    assert sorted(Path().rglob("*")) == before


def test_no_results(project: Callable[..., Composition], capsys: pytest.CaptureFixture[str]) -> None:
    project()
    assert tune.main(["scenes"]) == 2
    assert (
        "results/scenes/summary.csv does not exist; run the experiment first: vlkd run scenes"
        in capsys.readouterr().err
    )
