"""A run whose inputs are not the recorded ones is not trained: the files are named with both hashes."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

from vlkd_steps.cli import verify
from vlkd_steps.core import files, layout
from vlkd_steps.core.interruption import StopRequest
from vlkd_steps.datasets import instances
from vlkd_steps.steps import distill
from vlkd_steps.teachers.features.store import Writer
from vlkd_steps.verification import inputs, recorded_run


def refused(run: Path, capsys: pytest.CaptureFixture[str]) -> str:
    assert verify.main([str(run)]) == 2
    return capsys.readouterr().err


def test_all_inputs_are_found(run: Path) -> None:
    found = inputs.check(recorded_run.read(run), StopRequest())
    images = [each for each in found if each.path.suffix == ".png"]
    assert len(images) == 30 + 24 + 30  # of the split and the two sets, none of the ten others
    assert {str(each.path) for each in found if each not in images} == {
        "data/splits/toy/train-30-s1.parquet",
        "data/instances/toy.parquet",
        "words.txt",
        "data/splits/toy/eval-dev.parquet",
        "data/splits/toy/eval-test.parquet",
    }
    assert all(each.recorded == each.present for each in found)


def test_changed_files_are_named_with_both_hashes(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image, split, words = layout.raw("toy") / "train3.png", layout.eval_split("toy", "test"), Path("words.txt")
    then = {path: files.sha256(path) for path in (image, words)}
    Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(image)
    pl.read_parquet(split).head(7).write_parquet(split)
    words.write_text("other words")
    said = refused(run, capsys)
    assert f"{run} cannot be verified" in said
    for path in (image, words):
        assert f"{path}: recorded {then[path][:16]}" in said
        assert f"present {files.sha256(path)[:16]}" in said
    assert f"{split}: recorded" in said
    assert "dvc checkout" in said


def test_changed_rows_are_seen_although_the_file_says_otherwise(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = layout.instances("toy")
    table = pq.read_table(path)
    changed = pl.DataFrame(table).with_columns(text=pl.col("text").str.replace("color", "colour")).to_arrow()
    pq.write_table(changed.cast(instances.SCHEMA).replace_schema_metadata(table.schema.metadata), path)
    assert f"{path}: recorded {instances.content_hash(path)[:16]}" in refused(run, capsys)


def test_a_missing_file_is_named(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    split = layout.train_split("toy", "30", 1)
    split.unlink()
    (layout.raw("toy") / "dev3.png").unlink()
    said = refused(run, capsys)
    assert f"{split}: missing" in said
    assert "dvc pull" in said


def test_features_are_compared_file_by_file(
    project: Path, job: dict[str, Any], root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = layout.features("clip_toy", "toy")
    write_features(folder, seed=0)
    method = yaml.safe_load((root / "vlkd_steps/conf/method/naive_kd.yaml").read_text())
    job |= {"variant": "naive_kd", "method": method, "teacher": {"name": "clip_toy", "kind": "clip"}}
    assert distill.main(["--config", json.dumps(job)]) == 0
    run = layout.run("toys", "toy", "vilt_toy", "naive_kd", "30", 1)
    checked = {each.path for each in inputs.check(recorded_run.read(run), StopRequest())}
    assert {path for path in folder.rglob("*") if path.suffix in (".npy", ".parquet")} <= checked
    shard = next(folder.rglob("image-*.npy"))
    content = shard.read_bytes()
    shard.write_bytes(content[:-1] + b"\0")
    said = refused(run, capsys)
    assert f"{shard}: recorded" in said
    assert said.count(": recorded") == 1
    shard.write_bytes(content)
    write_features(folder, seed=1)
    assert f"{folder / 'manifest.json'}: recorded" in refused(run, capsys)
    (folder / "manifest.json").unlink()
    assert f"{folder / 'manifest.json'}: missing" in refused(run, capsys)


def write_features(folder: Path, seed: int) -> None:
    """Random features of every image and text of the toy data set."""
    frame = pl.read_parquet(layout.instances("toy"))
    names = {"image": frame["image_id"].to_list(), "text": frame["text"].unique(maintain_order=True).to_list()}
    generator = np.random.default_rng(seed)
    writer = Writer(folder, {"weights": f"of the toy {seed}"}, "float32")
    for kind, rows in names.items():
        writer.add(kind, files.digest(kind), generator.normal(size=(len(rows), 8)))
    rows = [(kind, name, row) for kind, found in names.items() for row, name in enumerate(found)]
    writer.finish(pl.DataFrame(rows, schema=["kind", "name", "row"], orient="row"), dim=8, teacher="clip_toy")
