import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import counting_teacher
import numpy as np
import polars as pl
import pytest
from counting_teacher import SETTINGS, CountingTeacher

from vlkd_steps.core import files, versions
from vlkd_steps.core.errors import UserError
from vlkd_steps.teachers.features import store
from vlkd_steps.teachers.features.extraction import extract
from vlkd_steps.teachers.features.store import FeatureStore, Part, Table, Writer

TEXTS = [f"What is thing number {n}?" for n in range(10)]


@pytest.fixture
def folder(tmp_path) -> Path:
    rows = counting_teacher.instances(tmp_path / "pictures")
    extract(CountingTeacher(), rows, tmp_path / "features", SETTINGS, "test", name="counting")
    return tmp_path / "features"


def test_open_gives_what_was_written(folder: Path) -> None:
    store = FeatureStore.open(folder)
    assert (store.dim, store.manifest["name"]) == (6, "counting")
    assert store.images([]).shape == (0, 6)
    store.verify()
    assert FeatureStore.open(folder, store.key).key == store.key


def test_a_teacher_of_images_and_texts_has_one_space_also_where_no_text_has_a_word(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    for left_out, shared in (("word", True), ("text", False), ("image", False)):
        shards = [shard for shard in manifest["shards"] if shard["kind"] != left_out]
        assert FeatureStore(folder, manifest | {"shards": shards}).shared_space is shared


def test_many_rows_are_converted_a_block_at_a_time(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["i7", "i1", "i1", "i0", "i5", "i3", "i2"]
    expected = FeatureStore.open(folder).images(names)
    monkeypatch.setattr(store, "BLOCK", 3)
    np.testing.assert_array_equal(FeatureStore.open(folder).images(names), expected)


def test_a_stale_key_is_refused_with_both_keys(folder: Path) -> None:
    key = FeatureStore.open(folder).key
    with pytest.raises(UserError, match=f"stale: they have key {key}, wanted is {'0' * 64}"):
        FeatureStore.open(folder, "0" * 64)


def test_no_store(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"nothing/manifest\.json is missing; extract the features: snakemake .*nothing/manifest\.json"
    ):
        FeatureStore.open(tmp_path / "nothing")


def test_a_manifest_that_is_not_json(folder: Path) -> None:
    (folder / "manifest.json").write_text("{")
    with pytest.raises(
        UserError, match=r"manifest\.json is not JSON \(line 1, column 2: .*; extract the features: snakemake"
    ):
        FeatureStore.open(folder)


def test_what_is_not_in_the_store_is_named(folder: Path) -> None:
    store = FeatureStore.open(folder)
    with pytest.raises(UserError, match="have no image 'i77'; the data set has changed or another split"):
        store.images(["i1", "i77"])
    with pytest.raises(UserError, match="have no text 'Why'"):
        store.word_states("Why")


def test_missing_and_cut_files_are_seen_on_opening(folder: Path) -> None:
    shard = folder / FeatureStore.open(folder).shards[0].file
    content = shard.read_bytes()
    shard.write_bytes(content[:-1])
    with pytest.raises(UserError, match=f"damaged: it has {len(content) - 1} bytes, the manifest says {len(content)}"):
        FeatureStore.open(folder)
    shard.unlink()
    with pytest.raises(UserError, match="damaged: it is missing; remove"):
        FeatureStore.open(folder)


def damage(folder: Path, pattern: str) -> str:
    """Change a byte of the last file of this pattern; its name."""
    path = sorted(folder.rglob(pattern))[-1]
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    return path.name


@pytest.mark.parametrize("pattern", ["image-*.npy", "state-*.npy", "index-*.parquet"])
def test_verify_finds_a_single_changed_byte(folder: Path, pattern: str) -> None:
    name = damage(folder, pattern)
    store = FeatureStore.open(folder)
    with pytest.raises(UserError, match=f"{name} is damaged: its checksum differs"):
        store.verify()


@pytest.mark.parametrize(
    ("pattern", "read"),
    [
        ("image-*.npy", lambda store: store.images([f"i{n}" for n in range(9)])),
        ("text-*.npy", lambda store: store.texts(TEXTS)),
        ("state-*.npy", lambda store: [store.word_states(text) for text in TEXTS]),
        ("index-*.parquet", lambda store: store.images(["i1"])),
    ],
    ids=["image", "text", "state", "index"],
)
def test_no_row_is_read_of_a_file_with_another_byte(
    folder: Path, pattern: str, read: Callable[[FeatureStore], object]
) -> None:
    name = damage(folder, pattern)
    with pytest.raises(UserError, match=f"{name} is damaged: its checksum differs"):
        read(FeatureStore.open(folder))


def test_a_manifest_other_than_its_copy_is_named(folder: Path) -> None:
    manifest = folder / "manifest.json"
    files.write_json(manifest, files.read_json(manifest) | {"temperature": 0.5})  # no checksum within covers it
    with pytest.raises(UserError, match=f"^{manifest} or .* is damaged.*: snakemake --cores 1 -f {manifest}$"):
        FeatureStore.open(folder)


@pytest.mark.parametrize(("key", "value"), [("rows", 1), ("kind", "word"), ("file", "other.npy"), ("bytes", 1)])
def test_a_shard_whose_mark_is_damaged_is_made_again(tmp_path: Path, key: str, value: object) -> None:
    writer = Writer(tmp_path, {}, "float32")
    shard = writer.add("image", "a" * 64, np.ones((3, 2), np.float32))
    assert writer.found("image", "a" * 64) == shard
    mark = (tmp_path / shard.file).with_suffix(".json")
    files.write_json(mark, files.read_json(mark) | {key: value})
    assert writer.found("image", "a" * 64) is None


def test_shards_of_other_versions_of_the_libraries_are_made_again_until_the_store_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def writer() -> Writer:
        return Writer(tmp_path, {}, "float32")

    before = writer()
    shard = before.add("image", "a" * 64, np.ones((3, 2), np.float32))
    monkeypatch.setattr(versions, "digest", lambda: "of another torch")
    assert writer().found("image", "a" * 64) is None
    before.finish(pl.DataFrame({"kind": ["image"], "name": ["i"], "row": [0]}), 2)
    assert writer().found("image", "a" * 64) == shard


def test_the_manifest_lists_sums_that_anyone_can_check(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    shard = manifest["shards"][0]
    output = subprocess.run(["sha256sum", folder / shard["file"]], check=True, capture_output=True, text=True).stdout
    assert output.split()[0] == shard["sha256"]


def test_table_reads_across_shards(tmp_path: Path) -> None:
    whole = np.arange(14, dtype=np.float32).reshape(7, 2)
    for name, part in (("a", whole[:3]), ("b", whole[3:4]), ("c", whole[4:])):
        np.save(tmp_path / f"{name}.npy", part)
    checked = []
    table = Table([Part(tmp_path / f"{name}.npy", partial(checked.append, name)) for name in "abc"])
    np.testing.assert_array_equal(table[np.array([6, 5])], whole[[6, 5]])
    assert checked == ["c"]  # a shard is verified when it is read first
    order = np.array([6, 0, 3, 3, 2])
    np.testing.assert_array_equal(table[order], whole[order])
    np.testing.assert_array_equal(table[2:5], whole[2:5])
    assert checked == ["c", "a", "b"]


def test_reading_needs_no_torch(root) -> None:
    modules = "vlkd_steps.teachers.features.store, vlkd_steps.teachers.targets.relevance"
    code = f"import sys, {modules}, vlkd_steps.teachers.targets.confidence;"
    code += "assert not {'torch', 'transformers', 'open_clip', 'sklearn', 'yake'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": str(root)})


def test_rows_are_read_from_the_nodes_disk(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = FeatureStore.open(folder).images(["i1", "i7"])
    monkeypatch.setenv("VLKD_SCRATCH", str(tmp_path / "node"))
    store = FeatureStore.open(folder)
    assert not (tmp_path / "node").exists(), "who reads no row copies nothing"
    np.testing.assert_array_equal(store.images(["i1", "i7"]), expected)
    assert all(Path(part.mapped.filename).is_relative_to(tmp_path / "node") for part in store._tables["image"].parts)
    assert store.word_states("What is thing number 5?")[0] == ["what", "is", "thing"]


def test_rows_come_in_the_order_asked_for_across_shards_and_none_beyond_the_table(tmp_path: Path) -> None:
    parts = []
    for number, values in enumerate(([0, 1], [], [2, 3, 4])):
        np.save(tmp_path / f"{number}.npy", np.array(values, np.float32).reshape(-1, 1))
        parts.append(Part(tmp_path / f"{number}.npy", lambda: None))
    table = Table(parts)
    assert table[np.array([4, 0, 2, 4, 1])].ravel().tolist() == [4, 0, 2, 4, 1]
    assert table[1:4].ravel().tolist() == [1, 2, 3]
    assert table[np.zeros(0, np.int64)].shape == (0, 1)
    for beyond in ([5], [0, -1]):
        with pytest.raises(IndexError):
            table[np.array(beyond)]
