"""Corpora in shards as the graph sees them: rows are shards, and what is in them decides the identity."""

import io
import json
import tarfile
from pathlib import Path

import polars as pl
import pytest

from vlkd_steps.core import layout
from vlkd_steps.core.errors import UserError
from vlkd_steps.datasets import instances, shards
from vlkd_steps.sources import manifest
from vlkd_steps.steps import extract, prepare, split
from vlkd_steps.teachers.features.store import FeatureStore

CONF = {
    "name": "web",
    "task": "captioning",
    "source": "web",
    "reader": "shards",
    "shards": ".",
    "files": {"train": {"images": "."}},
}
SPLIT = {"name": "web", "task": "captioning", "roles": {"train": {"split": "train"}}, "allow_leaks": []}


def corpus(shards: int) -> None:
    folder = layout.raw("web")
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(shards):
        with tarfile.open(folder / f"{number:05}.tar", "w") as tar:
            for name in (f"{number}.jpg", f"{number}.txt"):
                member = tarfile.TarInfo(name)
                member.size = 3
                tar.addfile(member, io.BytesIO(b"cat"))
    manifest.write(folder, "web")


def prepared(conf: dict) -> str:
    assert prepare.main(["--config", json.dumps({"dataset": conf})]) == 0
    return instances.content_hash(layout.instances("web"))


def test_shards_are_rows_that_are_split_and_have_no_features(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    corpus(3)
    first = prepared(CONF)
    rows = pl.read_parquet(layout.instances("web"))
    assert rows["instance_id"].to_list() == ["00000.tar", "00001.tar", "00002.tar"]
    assert (
        split.main(["--config", json.dumps({"role": "train", "dataset": SPLIT, "shots": ["full"], "seeds": [1]})]) == 0
    )
    assert json.loads(layout.split_manifest(layout.train_split("web", "full", 1)).read_text())["n"] == 3
    teacher = {
        "name": "clip_scenes",
        "kind": "clip",
        "model": "vlkd-scenes",
        "weights": "asset:clip_scenes.safetensors",
    }
    of = {"name": "web", "task": "captioning", "roles": SPLIT["roles"]}
    assert extract.main(["--config", json.dumps({"teacher": teacher, "dataset": of})]) == 0
    assert FeatureStore.open(layout.features("clip_scenes", "web")).images([]).shape[0] == 0
    corpus(4)
    assert prepared(CONF) != first


def test_a_tsv_is_one_row_that_changes_with_its_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (layout.raw("web") / "images").mkdir(parents=True)
    (layout.raw("web") / "pairs.tsv").write_text("a cat\t0.jpg\n")
    conf = {key: value for key, value in CONF.items() if key != "shards"} | {"tsv": "pairs.tsv", "images": "images"}
    hashes = set()
    for content in (b"one", b"two"):
        (layout.raw("web") / "images" / "0.jpg").write_bytes(content)
        manifest.write(layout.raw("web"), "web")
        hashes.add(prepared(conf))
    assert len(hashes) == 2
    assert pl.read_parquet(layout.instances("web"))["instance_id"].to_list() == ["pairs.tsv"]
    with pytest.raises(UserError, match=r"data set web: .*other.tsv is missing; put the corpus into the source"):
        shards.read(conf | {"tsv": "other.tsv"}, layout.raw("web"))
