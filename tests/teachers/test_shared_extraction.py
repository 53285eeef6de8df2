"""Several workers on one store: each makes its slice, the one that comes last finishes."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from counting_teacher import SETTINGS, CountingTeacher

from vlkd_steps.teachers.features.extraction import extract
from vlkd_steps.teachers.features.store import FeatureStore

IMAGES = 24


@pytest.fixture(autouse=True)
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("images").mkdir()
    for number in range(IMAGES):
        Path(f"images/p{number:02d}.png").write_bytes(f"image {number}".encode())


def rows() -> pl.DataFrame:
    """One question about each of the images."""
    found = [(path.stem, str(path), f"What is thing {path.stem}?") for path in sorted(Path("images").iterdir())]
    return pl.DataFrame(found, schema=["image_id", "image_path", "text"], orient="row")


def work(folder: str = "features", **options: Any) -> int:
    """How many rows a worker embeds."""
    teacher = CountingTeacher()
    extract(teacher, rows(), Path(folder), SETTINGS, "test", **options)
    return len(teacher.embedded)


def contents(folder: str) -> dict[str, bytes]:
    paths = Path(folder).rglob("*")
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths if path.is_file()}


@pytest.mark.parametrize("of", [1, 2, 3, 50])  # 50: more than there are chunks
def test_slices_and_the_last_make_each_row_once_and_the_bytes_of_one_worker(of: int) -> None:
    whole = work("alone")
    parts = [work(part=(number, of), shared_round="r") for number in reversed(range(of))]
    assert sum(parts) == whole
    assert not Path("features/manifest.json").exists()
    assert work(shared_round="r") == 0
    assert contents("features") == contents("alone"), "no marks are left"
    FeatureStore.open(Path("features")).verify()


def test_what_a_lost_worker_has_not_made_is_made_by_the_last() -> None:
    whole = work("alone")
    made = work(part=(0, 2), shared_round="r")
    assert work(shared_round="r") == whole - made
    assert contents("features") == contents("alone")


@pytest.mark.parametrize("shared", [False, True])
def test_the_one_that_finishes_says_which_rows_it_has_made(shared: bool) -> None:
    if shared:
        work(part=(0, 2), shared_round="r")
    said: dict[str, int] = {}
    work(shared_round="r", on_finish=lambda store, made: said.update(made))
    rows = FeatureStore.open(Path("features")).manifest["rows"]
    assert 0 < said["image"] < rows["image"] if shared else said == {kind: rows[kind] for kind in said}


def test_a_round_looks_once_and_the_next_one_again() -> None:
    work(part=(0, 1), shared_round="r")
    Path("images/p00.png").write_bytes(b"another image")
    assert work(part=(0, 1), shared_round="r") == 0, "marked in this round, so not read again"
    assert work(shared_round="s") == SETTINGS["shard_size"], "the shard of the image that was replaced"
    work("alone")
    assert contents("features") == contents("alone")


def test_a_shard_that_is_missing_is_made_again() -> None:
    work(part=(0, 1), shared_round="r")
    sorted(Path("features").rglob("image-*.npy"))[0].unlink()
    assert work(shared_round="r") == SETTINGS["shard_size"]
    work("alone")
    assert contents("features") == contents("alone")
