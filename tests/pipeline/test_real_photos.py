"""The whole graph over real photos in the official formats (COCO, VQA v2): what comes out of every step."""

import csv
import json
import os
from pathlib import Path

import polars as pl
import pytest
import yaml

from vlkd_steps.core import files, layout
from vlkd_steps.datasets.instances import SCHEMA
from vlkd_steps.students import bart
from vlkd_steps.teachers.features.store import FeatureStore

pytestmark = pytest.mark.slow

SHOTS, SEEDS, VARIANTS, SETS = ("8", "full"), (1,), ("finetune", "clip_td"), ("dev", "test")


def run_graph(project, experiment: str, shared_data: Path) -> None:
    os.environ["VLKD_COCO_MINI"] = str(shared_data / "coco_mini_open")
    try:
        output = project.snakemake("--config", f"experiment={experiment}")
    finally:
        del os.environ["VLKD_COCO_MINI"]
    assert "(100%) done" in output


@pytest.fixture(scope="module")
def project(new_project, shared_data):
    project = new_project("photos")
    project.params(experiment="coco_mini", grid={"variant": list(VARIANTS), "seed": list(SEEDS)})
    run_graph(project, "coco_mini", shared_data)
    before = Path.cwd()
    os.chdir(project.folder)
    yield project
    os.chdir(before)


def runs():
    return [
        layout.run("coco_mini", "coco_mini_vqa", "vilt_scenes", variant, shot, seed)
        for variant in VARIANTS
        for shot in SHOTS
        for seed in SEEDS
    ]


def test_download_takes_the_official_files_and_says_what_they_hold(project, shared_data) -> None:
    manifest = json.loads(layout.raw_manifest("coco_mini").read_text())
    name = "v2_mscoco_train2014_annotations_mini.json"
    assert name in manifest["files"]
    assert (layout.raw("coco_mini") / name).read_bytes() == (shared_data / "coco_mini_open" / name).read_bytes()
    assert sum(path.endswith(".jpg") for path in manifest["files"]) == 137


def test_prepare_keeps_official_ids_answers_and_images(project, shared_data) -> None:
    table = pl.read_parquet(layout.instances("coco_mini_vqa"))
    assert set(table.columns) == set(SCHEMA.names)
    questions = json.loads(
        (shared_data / "coco_mini_open/v2_OpenEnded_mscoco_train2014_questions_mini.json").read_text()
    )["questions"]
    assert sorted(table["instance_id"]) == sorted(str(question["question_id"]) for question in questions)
    assert all(len(json.loads(extra)["answers"]) == 10 for extra in table["extra"])
    assert all(Path(path).is_file() for path in table["image_path"])


def test_splits_are_nested_and_share_no_image(project) -> None:
    images = dict(pl.read_parquet(layout.instances("coco_mini_vqa")).select("instance_id", "image_id").iter_rows())
    held_out = {s: set(pl.read_parquet(layout.eval_split("coco_mini_vqa", s))["instance_id"]) for s in SETS}
    for seed in SEEDS:
        few = pl.read_parquet(layout.train_split("coco_mini_vqa", "8", seed))["instance_id"].to_list()
        full = pl.read_parquet(layout.train_split("coco_mini_vqa", "full", seed))["instance_id"].to_list()
        assert len(few) == 8
        assert set(few) < set(full)
        roles = [set(full), *held_out.values()]
        assert sum(map(len, roles)) == len(images)
        seen = [{images[instance] for instance in role} for role in roles]
        assert len(set.union(*seen)) == sum(map(len, seen))


def test_features_are_stored_once_per_image_text_and_word(project) -> None:
    store = FeatureStore.open(layout.features("clip_scenes", "coco_mini_vqa"))
    table = pl.read_parquet(layout.instances("coco_mini_vqa"))
    assert store.images(table["image_id"].to_list()).shape == (len(table), store.dim)
    assert store.texts(table["text"].to_list()).shape == (len(table), store.dim)
    words, states = store.word_states(table["text"][0])
    assert len(words) == len(states) > 0


def test_every_run_leaves_its_model_and_predictions_for_every_item(project) -> None:
    for run in runs():
        assert (run / "model.safetensors").stat().st_size > 100_000
        for evaluation_set in SETS:
            wanted = pl.read_parquet(layout.eval_split("coco_mini_vqa", evaluation_set))["instance_id"]
            found = pl.read_parquet(layout.predictions(run, evaluation_set))
            assert sorted(found["instance_id"]) == sorted(wanted)


def test_metrics_are_the_means_of_the_items_scores(project) -> None:
    for run in runs():
        metrics = json.loads(layout.metrics(run).read_text())
        for evaluation_set in SETS:
            scores = pl.read_parquet(layout.scores(run, evaluation_set))["score"]
            assert metrics[evaluation_set]["n"] == len(scores)
            assert metrics[evaluation_set]["accuracy"] == pytest.approx(100 * scores.mean(), abs=0.005)


def test_the_tables_and_the_report_hold_every_method(project) -> None:
    rows = list(csv.DictReader((layout.results("coco_mini") / "gains.csv").open()))
    assert {(row["variant"], row["shot"], row["evaluation_set"]) for row in rows} == {
        (variant, shot, evaluation_set) for variant in VARIANTS for shot in SHOTS for evaluation_set in SETS
    }
    page = (layout.results("coco_mini") / "report.html").read_text()
    assert all(variant in page for variant in VARIANTS)
    assert "http://" not in page.replace("http://www.w3.org", "")


@pytest.mark.exhaustive
def test_a_language_model_that_learned_to_see_describes_photos_and_is_tuned_on_questions(project, shared_data) -> None:
    run_graph(project, "coco_mini_vlkd", shared_data)
    place = ("coco_mini_vlkd", "coco_mini_captions", "bart_scenes")
    gold = set(json.loads(layout.labels("coco_mini_vqa").read_text()))
    for variant in ("bart", "vlkd", "vlkd_captions", "clip_alone"):
        for seed in SEEDS:
            run = layout.run(*place, variant, "full", seed)
            captions = pl.read_parquet(layout.predictions(run, "captions"))
            assert len(captions) == 40  # five references of eight photos
            assert captions["answer"].n_unique() <= 8
            listed = pl.read_parquet(layout.predictions(run, "vqa_listed"))["answer"]
            assert set(listed) <= gold
            metrics = json.loads(layout.metrics(run).read_text())
            assert {"vqa", "vqa_listed", "captions"} <= set(metrics)
            assert ("retrieval" in metrics, "forgetting" in metrics) == (variant != "bart", variant != "clip_alone")
    tuned = layout.run("coco_mini_vlkd", "coco_mini_vqa", "bart_scenes", "vlkd", "8", 1)
    made_of = yaml.safe_load(layout.run_config(tuned).read_text())["made_of"]
    start = layout.run(*place, "vlkd", "full", 1)
    assert made_of["init"] == files.sha256(start / "model.safetensors")
    assert bart.load(start / "model.safetensors").clip_width == 128
    rows = list(csv.DictReader((layout.results("coco_mini_vlkd") / "summary.csv").open()))
    assert {"accuracy", "CIDEr", "infilling", "text_to_image R@1"} <= {row["metric"] for row in rows}
    page = (layout.results("coco_mini_vlkd") / "report.html").read_text()
    assert 'id="gallery"' in page
