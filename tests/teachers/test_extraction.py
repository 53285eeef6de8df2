import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import counting_teacher
import numpy as np
import polars as pl
import pytest
import torch
from counting_teacher import SETTINGS, CountingTeacher, row

from vlkd_steps.core.errors import UserError
from vlkd_steps.data import loader
from vlkd_steps.teachers.features.extraction import distinct_images, extract
from vlkd_steps.teachers.features.store import FeatureStore


@pytest.fixture
def rows(tmp_path, monkeypatch) -> pl.DataFrame:
    monkeypatch.chdir(tmp_path)
    return counting_teacher.instances(Path("pictures"))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_every_distinct_image_text_and_word_is_embedded_once(rows) -> None:
    teacher = CountingTeacher()
    store = extract(teacher, rows, Path("features"), SETTINGS, "test")
    assert len(teacher.embedded) == len(set(teacher.embedded))
    assert store.manifest["rows"] == {"image": 9, "text": 10, "word": 14, "state": 30, "count": 10}
    np.testing.assert_array_equal(store.images(["i8", "i0", "i8"])[:2], [row(b"picture 8", 6), row(b"picture 0", 6)])
    np.testing.assert_array_equal(store.texts(["What is thing number 7?"]), [row(b"What is thing number 7?", 6)])
    np.testing.assert_array_equal(store.words(["Thing", "9"]), [row(b"thing", 6), row(b"9", 6)])


@pytest.mark.parametrize(("device", "pinned"), [(None, False), ("cpu", False), ("cuda", True)])
def test_images_come_in_page_locked_memory_where_the_teacher_is_on_a_gpu(
    rows, monkeypatch, device: str | None, pinned: bool
) -> None:
    asked: list[bool] = []

    def ahead(make: Any, numbers: Any, pinned: bool = False) -> Iterator[Any]:
        asked.append(pinned)
        yield from map(make, numbers)

    monkeypatch.setattr(loader, "ahead", ahead)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    teacher = CountingTeacher()
    if device:
        teacher.device = torch.device(device)
    extract(teacher, rows, Path("features"), SETTINGS, "test")
    assert asked == [pinned]


def test_word_states_stop_where_the_teacher_stopped_reading(rows) -> None:
    store = extract(CountingTeacher(), rows, Path("features"), SETTINGS, "test")
    words, states = store.word_states("What is thing number 5?")
    assert words == ["what", "is", "thing"]
    np.testing.assert_array_equal(states, [row(b"what", 4), row(b"is", 4), row(b"thing", 4)])


@pytest.mark.parametrize("die_at", [1, 4, 6, 9, 12, 16])
def test_killed_and_resumed_equals_uninterrupted(rows, root, die_at: int) -> None:
    whole = CountingTeacher()
    extract(whole, rows, Path("whole"), SETTINGS, "test")
    job = json.dumps({"pictures": "pictures", "store": "killed", "die_at": die_at})
    command = [sys.executable, counting_teacher.__file__, job]
    environment = {**os.environ, "PYTHONPATH": str(root), loader.VARIABLE: "0"}  # no other process keeps the pipe open
    ended = subprocess.run(command, check=False, capture_output=True, env=environment)
    assert ended.returncode == -9, ended.stderr.decode()
    assert not Path("killed/manifest.json").exists()

    resumed = CountingTeacher()
    extract(resumed, rows, Path("killed"), SETTINGS, "test")
    assert contents(Path("killed")) == contents(Path("whole"))
    batches_of_one_shard = 2
    assert whole.calls - resumed.calls >= die_at - 1 - batches_of_one_shard, "only the shard at hand is made again"


def test_whole_shards_are_not_made_again_and_damaged_ones_are(rows) -> None:
    extract(CountingTeacher(), rows, Path("features"), SETTINGS, "test")
    before = contents(Path("features"))
    shard = sorted(Path("features").rglob("image-*.npy"))[0]
    shard.write_bytes(shard.read_bytes()[:-3])
    teacher = CountingTeacher()
    extract(teacher, rows, Path("features"), SETTINGS, "test")
    assert len(teacher.embedded) <= SETTINGS["shard_size"]
    assert contents(Path("features")) == before


@pytest.fixture(scope="module")
def read_in_this_process(tmp_path_factory) -> dict[str, bytes]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("one"))
        patch.setenv(loader.VARIABLE, "0")
        extract(CountingTeacher(), counting_teacher.instances(Path("pictures")), Path("features"), SETTINGS, "test")
        return contents(Path("features"))


@pytest.mark.parametrize("count", ["1", "4"])
def test_processes_that_read_images_change_no_byte(rows, monkeypatch, read_in_this_process, count: str) -> None:
    monkeypatch.setenv(loader.VARIABLE, count)
    readers = []

    class Noting(CountingTeacher):
        def load_image(self, path):
            return (*super().load_image(path), os.getpid())

        def embed_images(self, images):
            readers.extend(pid for _, _, pid in images)
            return super().embed_images([image[:2] for image in images])

    extract(Noting(), rows.reverse(), Path("features"), SETTINGS, "test")
    assert contents(Path("features")) == read_in_this_process
    assert len(readers) == 9
    assert os.getpid() not in readers
    assert len(set(readers)) == int(count)


def test_nothing_is_read_where_every_chunk_is_there(rows, monkeypatch) -> None:
    extract(CountingTeacher(), rows, Path("features"), SETTINGS, "test")
    monkeypatch.setattr(CountingTeacher, "load_image", None)
    monkeypatch.setattr(loader, "DataLoader", None)
    extract(CountingTeacher(), rows, Path("features"), SETTINGS, "test")


@pytest.fixture
def slow(rows, root) -> Iterator["subprocess.Popen[bytes]"]:
    """An extraction with two processes that read images, at the first batch; its own group, as in a terminal."""
    job = json.dumps({"pictures": "pictures", "store": "slow", "seconds": 0.3})
    environment = {**os.environ, "PYTHONPATH": str(root), loader.VARIABLE: "2"}
    process = subprocess.Popen(
        [sys.executable, counting_teacher.__file__, job], env=environment, start_new_session=True
    )
    until = time.monotonic() + 300
    while not Path("embedding").is_file() and time.monotonic() < until:
        time.sleep(0.02)
    yield process
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)


def alive(group: int) -> list[int]:
    """The processes of a group that have not ended."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, of_group = stat.read_text().rpartition(")")[2].split()[:3]
            found += [int(stat.parent.name)] if int(of_group) == group and state != "Z" else []
    return found


@pytest.mark.parametrize("strike", [signal.SIGTERM, signal.SIGKILL])
def test_a_signal_leaves_no_process_and_no_manifest(slow, strike: signal.Signals) -> None:
    assert len(alive(slow.pid)) == 3
    os.kill(slow.pid, strike)
    assert slow.wait(30) == (128 + strike if strike == signal.SIGTERM else -strike)
    until = time.monotonic() + 120
    while alive(slow.pid) and time.monotonic() < until:
        time.sleep(0.1)
    assert alive(slow.pid) == []
    assert not Path("slow/manifest.json").exists()


def test_a_changed_image_is_embedded_again(rows) -> None:
    extract(CountingTeacher(), rows, Path("features"), SETTINGS, "test")
    Path("pictures/p3.png").write_bytes(b"another picture")
    store = extract(CountingTeacher(), rows, Path("features"), SETTINGS, "test")
    np.testing.assert_array_equal(store.images(["i3"]), [row(b"another picture", 6)])
    assert len(list(Path("features").rglob("image-*.npy"))) == 3, "the old shard is gone"


def test_another_key_never_mixes_and_is_removed_only_after_the_new_manifest(rows, monkeypatch) -> None:
    old = extract(CountingTeacher("w1"), rows, Path("features"), SETTINGS, "test")

    class Fails(CountingTeacher):
        def embed_texts(self, texts):
            raise RuntimeError("the power went")

    with pytest.raises(RuntimeError):
        extract(Fails("w2"), rows, Path("features"), SETTINGS, "test")
    FeatureStore.open(Path("features"), old.key).verify()  # the old store is whole until the new one is
    new = extract(CountingTeacher("w2"), rows, Path("features"), SETTINGS, "test")
    assert new.key != old.key
    assert [path.name for path in Path("features").iterdir() if path.is_dir()] == [new.key[:16]]


def test_everything_that_changes_the_features_changes_the_key(rows) -> None:
    def key(weights: str = "w1", **settings) -> str:
        return extract(CountingTeacher(weights), rows, Path("f"), {**SETTINGS, **settings}, "test").key

    keys = [key(), key("w2"), key(dtype="float16"), key(batch_size=3), key(shard_size=5), key(threads=2)]
    assert len(set(keys)) == 6


def test_half_precision_is_stored_and_read_as_float32(rows) -> None:
    store = extract(CountingTeacher(), rows, Path("features"), {**SETTINGS, "dtype": "float16"}, "test")
    exact = row(b"picture 1", 6)
    assert store.images(["i1"]).dtype == np.float32
    np.testing.assert_allclose(store.images(["i1"])[0], exact, rtol=1e-3)
    assert (store.images(["i1"])[0] != exact).any()


def test_a_missing_image_is_reported(rows) -> None:
    Path("pictures/p4.png").unlink()
    with pytest.raises(UserError, match=r"the image pictures/p4.png \(image id 'i4'\) is missing"):
        extract(CountingTeacher(), rows, Path("features"), SETTINGS, "test")


@pytest.mark.parametrize("count", ["0", "2"])
def test_an_unreadable_image_is_reported(rows, monkeypatch, count: str) -> None:
    monkeypatch.setenv(loader.VARIABLE, count)
    Path("pictures/p4.png").write_bytes(b"broken")
    with pytest.raises(UserError, match=r"pictures/p4.png \(image id 'i4'\) cannot be read: not a picture; replace"):
        extract(CountingTeacher(), rows, Path("features"), SETTINGS, "test")
    assert not Path("features/manifest.json").exists()


def test_an_image_under_two_paths_is_the_first_one(rows) -> None:
    names = dict(rows.select("image_id", "image_path").iter_rows())
    copy = Path("pictures/a_copy.png")
    copy.write_bytes(Path(names["i4"]).read_bytes())
    again = rows.filter(pl.col("image_id") == "i4").with_columns(pl.lit(str(copy)).alias("image_path"))
    assert distinct_images(pl.concat([rows, again])) == distinct_images(rows)
    assert {ref.image_id: ref.path for ref in distinct_images(pl.concat([again, rows]))}["i4"] == copy


class Spoilt(CountingTeacher):
    """Gives `value` in one place: `where` is an image's file or a text."""

    def __init__(self, where: str, value: float, states: bool = False) -> None:
        super().__init__()
        self.where, self.value, self.states = where, value, states

    def embed_images(self, images):
        found = super().embed_images(images)
        for number, (name, _) in enumerate(images):
            if name == self.where:
                found[number, 2] = self.value
        return found

    def embed_texts(self, texts):
        found, per_text = super().embed_texts(texts)
        if self.where in texts:
            at = list(texts).index(self.where)
            (per_text[at][1] if self.states else found)[at if not self.states else -1, 1] = self.value
        return found, per_text


TEXT = "What is thing number 7?"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e6])
@pytest.mark.parametrize(
    ("where", "states", "named"),
    [
        ("p8.png", False, r"field image of image 'i8' \(pictures/p8\.png\)"),
        (TEXT, False, r"field text of text 'What is thing number 7\?'"),
        (TEXT, True, r"field state of text 'What is thing number 7\?'"),
        ("thing", False, r"field word of text 'thing'"),
    ],
)
def test_a_value_that_is_not_a_number_ends_extraction(rows, where: str, states: bool, named: str, value: float) -> None:
    large = "has 1e\\+06, and the largest float16 is 6.55e\\+04; set the teacher's `dtype`"
    why = large if value == 1e6 else "not finite"
    with pytest.raises(UserError, match=f"extract tiny toy: {named} .*{why}"):
        extract(Spoilt(where, value, states), rows, Path("f"), {**SETTINGS, "dtype": "float16"}, "extract tiny toy")
    assert not Path("f/manifest.json").exists()
    for path in Path("f").rglob("*.npy"):  # shards that were finished before
        assert np.isfinite(np.load(path)).all()


def test_a_large_value_fits_float32(rows) -> None:
    store = extract(Spoilt("p8.png", 1e6), rows, Path("f"), SETTINGS, "x")
    assert store.images(["i8"])[0, 2] == 1e6
