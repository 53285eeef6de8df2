"""VCR through every step, from the official files to the report, by every method and every student."""

import csv
import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
import yaml

from vlkd_steps.cli import export, leaderboard, score, show
from vlkd_steps.config import composition, jobs
from vlkd_steps.config.models.composition import Cell
from vlkd_steps.core import files, layout
from vlkd_steps.datasets.vcr import spell
from vlkd_steps.deployment import finished_run, page
from vlkd_steps.deployment.finished_run import Query
from vlkd_steps.steps import compare, distill, download, evaluate, extract, prepare, report, split, targets
from vlkd_steps.students import exported
from vlkd_steps.teachers.features.store import FeatureStore
from vlkd_steps.tracking import journal

NAME = "scenes_smoke_vcr"
METHODS = ("finetune", "naive_kd", "clip_td", "mad_clip")
STUDENTS = ("vilt_scenes", "uniter_scenes", "visual_bert_scenes")
BLOCKS = [{"student": ("vilt_scenes",), "variant": METHODS}, {"student": STUDENTS[1:], "variant": ("clip_td",)}]
CELLS = [(student, variant) for block in BLOCKS for student in block["student"] for variant in block["variant"]]
PARAMS = {
    "experiment": "scenes_vcr_smoke",
    "grid": {"dataset": [NAME], "student": list(STUDENTS), "variant": list(METHODS), "shot": [20], "seed": [1, 2]},
    "overrides": {
        "training.steps": 4,
        "training.evaluate_every": 4,
        "variants.clip_td.adaptive_steps": 2,
        "variants.mad_clip.adaptive_steps": 2,
        f"datasets.{NAME}.evaluation_sets": ["dev", "test"],
    },
}


def call(main: Callable[[Sequence[str]], int], config: object) -> None:
    assert main(["--config", json.dumps(config)]) == 0


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory):
    """The current folder: a project whose every step has run on a small VCR."""
    folder = tmp_path_factory.mktemp("vcr")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        (folder / "params.yaml").write_text(yaml.safe_dump(PARAMS))
        c = composition.compose(folder / "params.yaml")
        blocks = [c.grid.model_copy(update=block) for block in BLOCKS]
        c = dataclasses.replace(c, blocks=blocks)  # not every student by every method: it takes time
        call(download.main, jobs.download(c, "scenes_smoke"))
        call(prepare.main, jobs.prepare(c, NAME))
        call(split.main, jobs.split_train(c, NAME, "20"))
        for name in ("dev", "test"):
            call(split.main, jobs.split_eval(c, NAME, name))
        for teacher in ("boxes_scenes", "clip_scenes"):
            call(extract.main, jobs.extract(c, teacher, NAME))
        for config in jobs.targets(c).values():
            call(targets.main, config)
        for student, variant in CELLS:
            call(distill.main, jobs.distill(c, Cell(NAME, student, variant, "20")))
            call(evaluate.main, jobs.evaluate(c, Cell(NAME, student, variant, "20")))
        call(compare.main, jobs.compare(c))
        call(report.main, jobs.report(c))
        yield folder


def run_folder(student: str, variant: str, seed: int = 1) -> Path:
    return layout.run("scenes_vcr_smoke", NAME, student, variant, "20", seed)


def test_a_shot_counts_annotations(finished: Path) -> None:
    ids = pl.read_parquet(layout.train_split(NAME, "20", 1))["instance_id"].to_list()
    assert len(ids) == 40
    assert {name.rpartition(":")[2] for name in ids} == {"answer", "rationale"}


def test_the_teacher_has_every_choice_of_the_training_rows_and_its_temperature(finished: Path) -> None:
    store = FeatureStore.open(layout.features("clip_scenes", NAME))
    train = pl.read_parquet(layout.instances(NAME)).filter(pl.col("split") == "train")
    query, choices = train.filter(pl.col("answer_type") == "answer").select("text", "choices").row(0)
    assert store.texts([f"{query} {choice}" for choice in choices]).shape == (4, store.dim)
    assert 0 < store.manifest["temperature"] < 1


@pytest.mark.parametrize(("student", "variant"), CELLS)
def test_every_student_and_every_method_learns_and_answers(finished: Path, student: str, variant: str) -> None:
    predictions = pl.read_parquet(layout.predictions(run_folder(student, variant), "test"))
    assert predictions.columns == ["instance_id", "prediction", "answer", "probability"]
    assert predictions["answer"].to_list() == [str(place) for place in predictions["prediction"]]
    assert predictions["prediction"].is_between(0, 3).all()
    curves = journal.curves(journal.read(layout.journal(run_folder(student, variant))))
    assert {"loss/task", "dev/accuracy"} <= set(curves)
    assert ("loss/joint" in curves) == (variant == "clip_td")


def test_token_selection_is_measured_and_reaches_journal_and_report(finished: Path) -> None:
    for variant, teacher in (("clip_td", "clip_scenes"), ("mad_clip", "clip_scenes")):
        curves = journal.curves(journal.read(layout.journal(run_folder("vilt_scenes", variant))))
        [share] = set(curves["visual_words"].values())
        assert 0 <= share <= 1
        assert {"visual_words_by_chance", "relevance_auc"} <= set(curves)
        page = (finished / "results/scenes_vcr_smoke/report.html").read_text()
        assert f'<td><code>{NAME}</code></td><td><code>{teacher}</code></td><th scope="row">selection ' in page


def test_all_three_metrics_are_in_the_tables(finished: Path) -> None:
    metrics = json.loads(layout.metrics(run_folder("vilt_scenes", "clip_td")).read_text())["test"]
    assert metrics["accuracy"] == pytest.approx((metrics["q_a"] + metrics["qa_r"]) / 2, abs=0.01)
    assert metrics["q_ar"] <= min(metrics["q_a"], metrics["qa_r"])
    with (Path("results/scenes_vcr_smoke") / "gains.csv").open() as stream:
        rows = [row for row in csv.DictReader(stream) if row["evaluation_set"] == "test"]
    assert {row["metric"] for row in rows} == {"q_a", "qa_r", "q_ar"}
    assert len(rows) == 3 * len(CELLS)
    gains = [row for row in rows if row["student"] == "vilt_scenes" and row["variant"] != "finetune"]
    assert all((row["gain_low"] == "") == (row["grouped"] == "1") for row in gains)
    assert {row["n"] for row in rows} == {"80"}
    floors = {row["metric"]: float(row["floor"]) for row in rows}
    assert floors["q_ar"] < min(floors["q_a"], floors["qa_r"])
    assert 15 < floors["q_a"] < 50
    assert {row["learned"] for row in rows} <= {"0", "1", "2"}


@pytest.mark.parametrize("student", ["vilt_scenes", "uniter_scenes"])
def test_the_leaderboards_file_scores_as_the_run_does(
    finished: Path, student: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = run_folder(student, "clip_td")
    assert leaderboard.main([str(run), "--split", "dev", "--out", "dev.csv"]) == 0
    annotations = ["--annotations", "data/raw/scenes_smoke/vcr/dev.jsonl", "--predictions", "dev.csv"]
    assert score.main(["vcr", *annotations, "--out", "dev.json"]) == 0
    found, metrics = json.loads(Path("dev.json").read_text()), json.loads(layout.metrics(run).read_text())["dev"]
    assert {name: found[name] for name in ("q_a", "qa_r", "q_ar")} == {
        name: metrics[name] for name in ("q_a", "qa_r", "q_ar")
    }
    capsys.readouterr()
    assert leaderboard.main([str(run), "--split", "val", "--out", "val.csv"]) == 2
    assert f"--split val: {layout.instances(NAME)} has no rows of it; there are " in capsys.readouterr().err
    assert leaderboard.main(["runs", "--out", "x.csv"]) == 2
    assert "; name the folder of one seed, such as runs/" in capsys.readouterr().err


def test_features_of_another_extraction_are_not_scored(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = layout.features_manifest("boxes_scenes", NAME)
    before = manifest.read_bytes()
    files.write_json(manifest, files.read_json(manifest) | {"key": "0" * 64})
    try:
        for student, status in (("uniter_scenes", 2), ("vilt_scenes", 0)):  # the other one reads pixels
            run = run_folder(student, "clip_td")
            assert leaderboard.main([str(run), "--split", "dev", "--out", f"{student}.csv"]) == status
    finally:
        manifest.write_bytes(before)
    assert f"{manifest}: these features are others than those that " in capsys.readouterr().err
    assert not Path("uniter_scenes.csv").exists()


@pytest.mark.parametrize(("student", "variant"), [("vilt_scenes", "clip_td"), *CELLS[-2:]])
def test_a_finished_run_answers_as_it_did_in_evaluation_and_is_exported(
    finished: Path, student: str, variant: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = run_folder(student, variant)
    rows = pl.read_parquet(layout.predictions(folder, "test")).join(
        pl.read_parquet(layout.instances(NAME)), on="instance_id", maintain_order="left"
    )
    model = finished_run.load(folder)
    items = page.Page([model]).items
    assert items[0].query.choices
    found = [(row, model.answers(query_of(row))[0]) for row in rows.head(12).iter_rows(named=True)]
    assert [best.text for _, best in found] == [row["choices"][row["prediction"]] for row, _ in found]
    assert [best.probability for _, best in found] == pytest.approx([row["probability"] for row, _ in found], abs=1e-4)
    assert export.main([str(folder), "--out", str(tmp_path / "out")]) == 0
    loaded = exported.load(tmp_path / "out").state_dict()
    assert all(torch.equal(tensor, loaded[name]) for name, tensor in model.student.state_dict().items())
    if student != "vilt_scenes":
        capsys.readouterr()
        assert export.main([str(folder), "--out", str(tmp_path / "onnx"), "--onnx"]) == 2
        assert "--onnx is for students with pixel input (vilt); leave it out" in capsys.readouterr().err
        assert not (tmp_path / "onnx").exists()


def test_a_file_for_onnx_scores_each_choice(finished: Path, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    assert export.main([str(run_folder("vilt_scenes", "clip_td")), "--out", str(tmp_path / "out"), "--onnx"]) == 0
    session = onnxruntime.InferenceSession(str(tmp_path / "out" / "model.onnx"))
    assert [each.name for each in session.get_inputs()] == ["tokens", "mask", "types", "images"]


def test_items_are_shown_with_their_choices(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert show.main([NAME, "--set", "test", "--items", "2"]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"role test of {NAME}: ")
    assert said.count("\n  choice 4   ") == 2


def query_of(row: dict[str, Any]) -> Query:
    """The item of a row as a user would ask it."""
    said = json.loads(row["extra"])
    question, answer = (spell(said.get(part, []), said["objects"]) for part in ("question", "answer"))
    answer = answer if row["answer_type"] == "rationale" else ""
    return Query(Path(row["image_path"]), question, tuple(row["choices"]), answer)


def test_the_report_shows_choices_as_texts_with_what_they_point_at(finished: Path) -> None:
    page = (Path("results/scenes_vcr_smoke") / "report.html").read_text()
    assert "<code>scenes_smoke_vcr Q→AR</code>" in page
    assert '<ul class="answers long">' in page
    assert 'title="person 1"' in page
