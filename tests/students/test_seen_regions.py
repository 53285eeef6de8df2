"""What a student that sees regions is shown, and a whole run of one, from its extraction to its predictions."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from vlkd_steps.config import jobs
from vlkd_steps.core import layout
from vlkd_steps.core.errors import UserError
from vlkd_steps.runs.run_dir import RunDir
from vlkd_steps.runs.seeds import train_seeds
from vlkd_steps.steps import distill, extract
from vlkd_steps.students import uniter
from vlkd_steps.students.seen_regions import RegionSight
from vlkd_steps.teachers.regions.region_store import RegionStore

EXTRACTOR = {"name": "boxes_toy", "kind": "regions_boxes", "splits": "used", "boxes": "metadata", "pool": 2}
ROLES = {name: {"split": name} for name in ("train", "dev", "test")}


@pytest.fixture
def regions(project: Path) -> RegionStore:
    """The toy project's images with one to three boxes each, extracted by the real step."""
    for path in sorted(Path("data/raw/toy").glob("*.png")):
        number = int(path.stem.strip("abcdefghijklmnopqrstuvwxyz"))
        boxes = [[0, 0, 32, 16, 1.0], [8, 8, 24, 24, 1.0], [0, 0, 4, 4, 1.0]][: 1 + number % 3]
        path.with_suffix(".json").write_text(json.dumps({"boxes": boxes, "width": 32, "height": 32}))
    config = {
        "teacher": {**EXTRACTOR, "metadata": "{stem}.json"},
        "dataset": {"name": "toy", "task": "vqa", "roles": ROLES},
    }
    assert extract.main(["--config", json.dumps(config)]) == 0
    return RegionStore.open(layout.features("boxes_toy", "toy"))


@pytest.fixture
def student(job: dict[str, Any]) -> dict[str, Any]:
    architecture = {"num_hidden_layers": 1, "num_attention_heads": 2, "hidden_size": 16, "intermediate_size": 32}
    job["student"] = {
        "name": "uniter_toy",
        "kind": "uniter",
        "regions": "boxes_toy",
        "vocabulary": "words.txt",
        "architecture": {**architecture, "max_position_embeddings": 16, "img_dim": 12},
    }
    return job


def test_all_roles_are_extracted(regions: RegionStore) -> None:
    frame = pl.read_parquet(layout.instances("toy"))
    assert regions.manifest["rows"]["count"] == frame["image_id"].n_unique()
    assert len(regions.counts(frame["image_id"].to_list())) == len(frame)


@pytest.mark.parametrize("in_memory", [0, 1 << 30])
def test_regions_are_padded_to_the_longest_of_the_batch(regions: RegionStore, in_memory: int) -> None:
    names = sorted(pl.read_parquet(layout.instances("toy"))["image_id"].to_list())
    sight = RegionSight(regions, names, in_memory).to(torch.device("cpu"))
    assert (sight._held is None) == (in_memory == 0)
    counts = sight.counts
    rows = torch.tensor([int((counts == n).nonzero()[0]) for n in (2, 1, 2)] + [0])
    shown = sight.batch(rows)["regions"]
    most = int(counts[rows].max())
    assert shown.features.shape == (4, most, 12)
    assert shown.mask.sum(1).tolist() == counts[rows].tolist()
    assert shown.features[shown.mask == 0].abs().sum() == 0
    assert shown.locations[shown.mask == 0].abs().sum() == 0
    for place, row in enumerate(rows.tolist()):
        features, places = regions.regions([names[row]])
        np.testing.assert_array_equal(shown.features[place, : len(features)].numpy(), features)
        np.testing.assert_array_equal(shown.locations[place, : len(features)].numpy(), places)


def test_regions_are_padded_without_reading_from_the_device_that_trains(regions: RegionStore) -> None:
    names = sorted(pl.read_parquet(layout.instances("toy"))["image_id"].to_list())
    rows = torch.arange(6)
    expected = RegionSight(regions, names).batch(rows)["regions"]
    shown = RegionSight(regions, names).to(torch.device("meta")).batch(rows)["regions"]
    assert shown.features.is_meta
    assert shown.features.shape == expected.features.shape
    assert shown.mask.is_meta


def test_regions_of_another_width_are_refused(regions: RegionStore, student: dict[str, Any]) -> None:
    student["student"]["architecture"]["img_dim"] = 13
    built = uniter.build(student["student"], "vqa", ["a"], seed=0)
    with pytest.raises(UserError, match="boxes_toy/toy are 12 wide and the student reads 13"):
        RegionSight.of(built, "toy", [])


def run(job: dict[str, Any]) -> Path:
    assert distill.main(["--config", json.dumps(job)]) == 0
    return Path("runs/toys/toy/uniter_toy/finetune/30/s1")


def test_a_run_from_regions_to_predictions_learns(regions: RegionStore, student: dict[str, Any]) -> None:
    student["training"] |= {"steps": 150, "learning_rate": 0.005, "evaluate_every": 0, "checkpoint_every": 150}
    student["student"]["architecture"] |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    folder = run(student)
    answers = pl.read_parquet(folder / "predictions/test.parquet").join(
        pl.read_parquet(layout.instances("toy")), on="instance_id"
    )
    assert (answers["prediction"] == answers["label"]).mean() > 0.6  # chance: 0.25
    assert uniter.load(folder / "model.safetensors").regions == "boxes_toy"


def test_batches_by_tokens_in_a_run(regions: RegionStore, student: dict[str, Any]) -> None:
    student["training"] |= {"tokens_per_batch": 120, "accumulation": 2}
    folder = run(student)
    events = [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]
    last = [event for event in events if event["event"] == "metrics"][-1]
    assert last["step"] == 12
    assert 2 < last["epoch"] < 12 * 2 * 12 / 30
    student["training"]["tokens_per_batch"] = 20
    student["seeds"] = [2]
    with pytest.raises(UserError, match=r"training\.tokens_per_batch is 20"):
        train_seeds(student)


def test_other_regions_are_another_run(regions: RegionStore, student: dict[str, Any]) -> None:
    before = RunDir.of(student, 1).key
    manifest = layout.features_manifest("boxes_toy", "toy")
    content = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**content, "key": "0" * 64}))
    assert RunDir.of(student, 1).key != before


def test_the_graph_gives_a_student_its_regions() -> None:
    composed = SimpleNamespace(students={"u": SimpleNamespace(regions="boxes_toy"), "v": SimpleNamespace(regions=None)})
    assert jobs.regions_of(composed, "u", "toy") == ["features/boxes_toy/toy/manifest.json"]
    assert jobs.regions_of(composed, "v", "toy") == []
