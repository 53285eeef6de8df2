"""From images to a region store and back: resumed, memory-mapped, checked."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from vlkd_steps.core.errors import UserError
from vlkd_steps.teachers.features.extraction import ImageRef, extract
from vlkd_steps.teachers.regions.region_extraction import Reading, Regions, locations
from vlkd_steps.teachers.regions.region_store import RegionStore

DIM = 3
SETTINGS = {"shard_size": 3, "batch_size": 2, "dtype": "float16"}


class Counting:
    """A source without files: image n has 1 + n % 4 regions. Kills its process at batch number `die_at`."""

    dim, maker = DIM, Reading

    def __init__(self, die_at: int = 0, width: int = DIM) -> None:
        self.identity: dict[str, Any] = {"kind": "counting"}
        self.die_at, self.width, self.calls = die_at, width, 0
        self.seen: list[int] = []

    def inputs(self, picture: ImageRef) -> str:
        return picture.path.read_text()

    def load(self, picture: ImageRef) -> int:
        return int(picture.path.read_text())

    def regions(self, loaded: Sequence[int]) -> list[Regions]:
        self.calls += 1
        if self.calls == self.die_at:
            os.kill(os.getpid(), signal.SIGKILL)
        self.seen += loaded
        return [expected(number, self.width) for number in loaded]


def expected(number: int, width: int = DIM) -> Regions:
    generator = np.random.default_rng(number)
    count = 1 + number % 4
    boxes = np.sort(generator.random((count, 2, 2), np.float32), axis=1).reshape(count, 4)
    return Regions(generator.integers(-9, 9, (count, width)).astype(np.float32), locations(boxes))


@pytest.fixture
def rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pl.DataFrame:
    monkeypatch.chdir(tmp_path)
    return instances()


def instances() -> pl.DataFrame:
    """Ten images, two of them with two questions."""
    Path("pictures").mkdir(exist_ok=True)
    for number in range(10):
        Path(f"pictures/{number}.txt").write_text(str(number))
    rows = [(f"i{number % 10}", f"pictures/{number % 10}.txt", "what is it") for number in range(12)]
    return pl.DataFrame(rows, schema=["image_id", "image_path", "text"], orient="row")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_every_image_once_and_every_region_unchanged(rows: pl.DataFrame) -> None:
    source = Counting()
    extract(source, rows, Path("regions"), SETTINGS, "test", name="toy")
    assert sorted(source.seen) == list(range(10))
    store = RegionStore.open(Path("regions"))
    store.verify()
    total = sum(1 + number % 4 for number in range(10))
    assert store.manifest["rows"] == {"count": 10, "region": total, "location": total}
    assert store.manifest["name"] == "toy"
    assert store.counts(["i3", "i0", "i3"]).tolist() == [4, 1, 4]
    features, places = store.regions(["i9", "i2", "i9"])
    wanted = [expected(number) for number in (9, 2, 9)]
    np.testing.assert_array_equal(features, np.concatenate([regions.features for regions in wanted]))
    np.testing.assert_array_equal(places, np.concatenate([regions.locations for regions in wanted]))  # exact: float32
    assert places.dtype == np.float32
    assert [part.shape for part in store.regions([])] == [(0, DIM), (0, 7)]
    assert isinstance(store._tables["region"].parts[0].rows.base, np.memmap)


@pytest.mark.parametrize("die_at", [*(pytest.param(at, marks=pytest.mark.exhaustive) for at in (1, 6)), 3])
def test_killed_and_resumed_equals_uninterrupted(rows: pl.DataFrame, die_at: int, root: Path) -> None:
    whole = Counting()
    extract(whole, rows, Path("whole"), SETTINGS, "test")
    environment = {**os.environ, "PYTHONPATH": str(root)}
    ended = subprocess.run([sys.executable, __file__, str(die_at)], check=False, capture_output=True, env=environment)
    assert ended.returncode == -9, ended.stderr.decode()
    assert not Path("killed/manifest.json").exists()
    resumed = Counting()
    extract(resumed, rows, Path("killed"), SETTINGS, "test")
    assert contents(Path("killed")) == contents(Path("whole"))
    assert resumed.calls <= whole.calls - (die_at - 1) // 2 * 2


def test_only_a_changed_image_is_extracted_again(rows: pl.DataFrame) -> None:
    extract(Counting(), rows, Path("regions"), SETTINGS, "test")
    Path("pictures/4.txt").write_text("14")
    again = Counting()
    store = extract(again, rows, Path("regions"), SETTINGS, "test")
    assert sorted(again.seen) == [3, 5, 14]
    np.testing.assert_array_equal(store.regions(["i4"])[0], expected(14).features)


def test_what_cannot_be_stored_is_named(rows: pl.DataFrame) -> None:
    with pytest.raises(
        UserError, match=r"the regions of image 'i0' .* have shape \[1, 4\], not \[at least one, dim: 3"
    ):
        extract(Counting(width=4), rows, Path("regions"), SETTINGS, "test")
    Path("pictures/5.txt").unlink()
    with pytest.raises(UserError, match=r"the image pictures/5.txt \(image id 'i5'\) is missing"):
        extract(Counting(), rows, Path("regions"), SETTINGS, "test")


def test_a_damaged_or_other_store_is_named(rows: pl.DataFrame) -> None:
    with pytest.raises(UserError, match=r"regions/manifest.json is missing; extract the features: snakemake"):
        RegionStore.open(Path("regions"))
    store = extract(Counting(), rows, Path("regions"), SETTINGS, "test")
    with pytest.raises(UserError, match="have no image 'i99'"):
        store.counts(["i99"])
    shard = next(path for path in Path("regions").rglob("region-*.npy"))
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(UserError, match="is damaged: it has"):
        RegionStore.open(Path("regions"))
    for path in Path("regions").rglob("manifest.json"):
        manifest = json.loads(path.read_text())
        kept = [entry for entry in manifest["shards"] if entry["kind"] == "count"]
        path.write_text(json.dumps({**manifest, "shards": kept}))
    with pytest.raises(UserError, match=r"the features in regions have no regions; set the student's `regions`"):
        RegionStore.open(Path("regions"))


if __name__ == "__main__":
    extract(Counting(die_at=int(sys.argv[1])), instances(), Path("killed"), SETTINGS, "test")
