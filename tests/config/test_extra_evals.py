"""Extra evaluations beside a run's own evaluation sets: from the preset to each job, and what is refused."""

import dataclasses
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from sealed import seal

from vlkd_steps.config import composition, extra_evals, jobs
from vlkd_steps.config.extra_evals import Evaluation
from vlkd_steps.config.models.composition import Cell, Composition
from vlkd_steps.core import layout
from vlkd_steps.core.errors import UserError

CORPUS = "scenes_wide_captions"
QUESTIONS = {"dataset": "scenes_vqa", "set": "test"}


@pytest.fixture(scope="module")
def composed(tmp_path_factory: pytest.TempPathFactory) -> Composition:
    """scenes_vlkd cut to its corpus: the questions are then of a data set that is only evaluated."""
    params = {
        "experiment": "scenes_vlkd",
        "grid": {"dataset": [CORPUS], "seed": [10]},
    }
    path: Path = tmp_path_factory.mktemp("extra") / "params.yaml"
    path.write_text(yaml.safe_dump(params))
    return composition.compose(path)


def test_a_job_knows_the_extra_evaluations_of_its_runs(composed: Composition) -> None:
    config = jobs.distill(composed, Cell(CORPUS, "bart_scenes", "vlkd", "full"))
    extra = config["dataset"]["extra_evals"]
    assert extra["vqa"] == {**QUESTIONS, "images": 400, "lead": True, "task": "vqa", "train": "train"}
    assert extra["forgetting"] == {"measure": "forgetting"}
    assert jobs.evaluate(composed, Cell(CORPUS, "bart_scenes", "vlkd", "full"))["dataset"] == config["dataset"]
    named = [evaluation.name for evaluation in extra_evals.sets(config["dataset"])]
    assert set(named[:2]) == {"vqa", "captions_masked"}  # which lead
    led, not_led = extra["vqa"], {key: value for key, value in extra["vqa"].items() if key != "lead"}
    items = {"sha256": "ids", "source": "rows", "pixels": "images"}
    assert extra_evals.identity(led, items) == extra_evals.identity(not_led, items)
    others = [extra_evals.identity(led, items | {key: "other"}) for key in items]
    assert len({extra_evals.identity(led, items), *others}) == 4
    assert {"vqa", "captions", "prompt_bare"} <= set(named)
    assert set(extra_evals.measures(config["dataset"])) == {"retrieval", "forgetting"}
    assert config["teacher"]["model"] == "vlkd-scenes"  # whole: it looks at images itself
    assert config["student"]["shipped"]
    assert ("scenes_vqa", "test") in jobs.held_out(composed)
    assert str(layout.eval_split("scenes_vqa", "unseen_pairs")) in jobs.extra_eval_files(composed, CORPUS)
    assert jobs.extra_eval_files(composed, "scenes_vqa") == []


def test_extra_evaluations_change_no_other_experiment() -> None:
    other = composition.compose(Path("params.yaml"))
    config = jobs.distill(other, Cell("scenes_vqa", "vilt_scenes", "clip_td", "100"))
    assert set(config["dataset"]) == {"name", "task", "evaluation_sets"}
    assert config["teacher"] == {"name": "clip_scenes", "kind": "clip"}
    assert "shipped" not in config["student"]


@pytest.fixture
def refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The message about a preset of the user's, which is scenes_vlkd with another extra evaluation."""
    monkeypatch.chdir(tmp_path)

    def compose(name: str, evaluation: dict[str, Any], dataset: str = CORPUS) -> str:
        preset = {"defaults": ["scenes_vlkd", "_self_"], "extra_evals": {dataset: {name: evaluation}}}
        path = tmp_path / "mine/experiment/mine.yaml"
        path.parent.mkdir(parents=True)
        path.write_text("# @package _global_\n" + yaml.safe_dump(preset))
        (tmp_path / "params.yaml").write_text("experiment: mine\ngrid: {}\nconf: [mine]\n")
        with pytest.raises(UserError) as mistake:
            composition.compose()
        return str(mistake.value)

    return compose


@pytest.mark.parametrize(
    ("evaluation", "facts"),
    [
        ({**QUESTIONS, "prompts": "{q} <mask>"}, ["unknown key 'prompts'", "did you mean 'prompt'"]),
        ({"dataset": "scenes_vqa"}, ["wrong.set is missing"]),
        ({"dataset": "scenes_vqq", "set": "test"}, ["'scenes_vqq'", "did you mean 'scenes_vqa'"]),
        ({"dataset": "scenes_ve", "set": "test"}, ["wrong.dataset", "task entailment", "captioning or vqa"]),
        ({**QUESTIONS, "set": "tets"}, ["wrong.set is 'tets'", "did you mean 'test'"]),
        ({**QUESTIONS, "images": 0}, ["wrong.images is 0", "a whole number, 1 or more"]),
        ({**QUESTIONS, "answers": "free"}, ["wrong.answers is 'free'", "listed"]),
        ({**QUESTIONS, "lead": "yes"}, ["wrong.lead is 'yes'", "true"]),
        ({**QUESTIONS, "prompt": "{q}"}, ["wrong.prompt is '{q}'", "write <mask> once"]),
        ({**QUESTIONS, "prompt": "<mask> {q}"}, ["wrong.prompt is '<mask> {q}'", "{q}, the question, before it"]),
        ({**QUESTIONS, "prompt": "Answer: <mask>"}, ["wrong.prompt is 'Answer: <mask>'", "questions of scenes_vqa"]),
        (
            {"dataset": CORPUS, "set": "test", "answers": "listed"},
            ["wrong.answers is listed", "scenes_wide_captions, of task captioning, has no list of answers"],
        ),
        ({"measure": "forget"}, ["wrong.measure is 'forget'", "did you mean 'forgetting'"]),
        ({"measure": "forgetting", "size": 3}, ["wrong.size is 3", "6 or more"]),
        ({"measure": "glue", "path": "x"}, ["unknown key 'path'"]),
    ],
)
def test_an_impossible_extra_evaluation_is_refused(refused, evaluation: dict[str, Any], facts: list[str]) -> None:
    message = refused("wrong", evaluation)
    for fact in facts:
        assert fact in message


def test_a_name_that_the_data_set_has_is_refused(refused) -> None:
    message = refused("test", QUESTIONS, "scenes_vqa")
    assert "mine/experiment/mine.yaml: extra_evals.scenes_vqa.test" in message
    assert "choose another" in message


def test_null_leaves_out_an_inherited_evaluation(tmp_path: Path) -> None:
    left_out = {"vqa": None, "retrieval": None}
    preset = {"defaults": ["scenes_vlkd", "_self_"], "extra_evals": {CORPUS: left_out}, "claims": None}
    path = tmp_path / "mine/experiment/mine.yaml"
    path.parent.mkdir(parents=True)
    path.write_text("# @package _global_\n" + yaml.safe_dump(preset))
    (tmp_path / "params.yaml").write_text("experiment: mine\ngrid: {}\nconf: [mine]\n")
    inherited = composition.compose(tmp_path / "params.yaml", "scenes_vlkd").extra_evals[CORPUS]
    found = composition.compose(tmp_path / "params.yaml").extra_evals[CORPUS]
    assert set(inherited) - set(found) == set(left_out)


@pytest.mark.parametrize("extra", [QUESTIONS, {"measure": "forgetting"}])
def test_runs_that_classify_have_no_extra_evaluations(tmp_path: Path, extra: dict[str, Any]) -> None:
    preset = {"defaults": ["scenes", "_self_"], "extra_evals": {"scenes_vqa": {"more": extra}}}
    path = tmp_path / "mine/experiment/mine.yaml"
    path.parent.mkdir(parents=True)
    path.write_text("# @package _global_\n" + yaml.safe_dump(preset))
    (tmp_path / "params.yaml").write_text("experiment: mine\ngrid: {}\nconf: [mine]\n")
    with pytest.raises(UserError, match=r"extra_evals.scenes_vqa is for runs that answer in words, and finetune"):
        composition.compose(tmp_path / "params.yaml")
    (tmp_path / "params.yaml").write_text("experiment: mine\ngrid: {dataset: [scenes_ve]}\nconf: [mine]\n")
    composition.compose(tmp_path / "params.yaml")


def test_init_needs_one_run_to_start_from(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(Path("params.yaml").read_text())
    whole = composition.compose(path, "scenes_vlkd")
    start = jobs.initial(whole, Cell("scenes_vqa", "bart_scenes", "vlkd", "full"))
    assert start == Cell(CORPUS, "bart_scenes", "vlkd", "full")
    assert jobs.initial(whole, Cell(CORPUS, "bart_scenes", "vlkd", "full")) is None
    assert (
        jobs.initial(whole, Cell(CORPUS, "bart_scenes", "vlkd_captions", "full")) == start
    )  # of the same task as well
    models = jobs.initial_models(whole, Cell("scenes_vqa", "bart_scenes", "vlkd", "full"))
    assert models[0] == f"runs/scenes_vlkd/{CORPUS}/bart_scenes/vlkd/full/s10/model.safetensors"
    alone = dataclasses.replace(whole, blocks=[whole.grid.model_copy(update={"dataset": ("scenes_vqa",)})])
    with pytest.raises(UserError, match=r"variants\.vlkd has init: vlkd on scenes_vqa, and the grid holds 0 runs"):
        jobs.check_initial(alone)
    jobs.check_initial(whole)


def test_images_takes_all_items_of_so_many_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = pl.DataFrame({"instance_id": [str(n) for n in range(12)], "image_id": [str(n // 3) for n in range(12)]})
    for path in (layout.instances("some"), layout.eval_split("some", "test")):
        path.parent.mkdir(parents=True)
        rows.write_parquet(path)
    seal()
    few = Evaluation("few", "some", "vqa", "test", {"images": 2}).ids().join(rows, on="instance_id")
    assert few["image_id"].n_unique() == 2
    assert len(few) == 6
    assert len(Evaluation("all", "some", "vqa", "test", {}).ids()) == 12


@pytest.mark.parametrize(
    ("by_dataset", "dtype"),
    [({CORPUS: {"dtype": "float32", "workers": 3}}, "float32"), ({"scenes_vqa": {"dtype": "float32"}}, "float16")],
)
def test_a_run_knows_its_teacher_as_it_is_for_its_data_set(
    composed: Composition, by_dataset: dict[str, Any], dtype: str
) -> None:
    """What differs for another data set, and how many processes read, is none of its business."""
    clip = composed.teachers["clip_scenes"].model_copy(update={"by_dataset": by_dataset, "dtype": "float16"})
    changed = dataclasses.replace(composed, teachers={**composed.teachers, "clip_scenes": clip})
    told = jobs.distill(changed, Cell(CORPUS, "bart_scenes", "vlkd", "full"))["teacher"]
    assert told["dtype"] == dtype
    assert not {"by_dataset", "workers"} & told.keys()


@pytest.mark.parametrize(
    "overrides",
    [
        {"extra_evals.scenes_wide_captions.mine": {"dataset": "easy_vqa", "set": "test"}},
        {"extra_evals": {CORPUS: {"mine.dataset": "easy_vqa", "mine": {"set": "test"}}}},
    ],
)
def test_an_override_may_name_another_data_set(tmp_path: Path, overrides: dict[str, Any]) -> None:
    given = yaml.safe_dump({"experiment": "scenes_vlkd", "grid": {}, "overrides": overrides})
    (tmp_path / "params.yaml").write_text(given)
    composed = composition.compose(tmp_path / "params.yaml")
    assert composed.extra_evals[CORPUS]["mine"].dataset == "easy_vqa"
    assert ("easy_vqa", "test") in jobs.held_out(composed)


def test_a_data_sets_own_sets_know_the_training_split_that_is_called_otherwise(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("experiment: scenes_vlkd\ngrid: {}\n")
    composed = composition.compose(tmp_path / "params.yaml")
    assert "train" not in jobs.evaluated_dataset(composed, "scenes_vqa")
    renamed = composed.datasets["scenes_vqa"].model_copy(
        update={"roles": {"train": composed.datasets["scenes_vqa"].roles["dev"]}}
    )
    changed = replace(composed, datasets={**composed.datasets, "scenes_vqa": renamed})
    (own, *_) = extra_evals.sets(jobs.evaluated_dataset(changed, "scenes_vqa"))
    assert own.how == {"train": "dev"}
