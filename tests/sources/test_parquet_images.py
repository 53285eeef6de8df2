"""Images inside parquet files become files, a few rows at a time."""

import contextlib
from pathlib import Path
from typing import Any

import hf_files
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vlkd_steps.core import tables
from vlkd_steps.core.errors import UserError
from vlkd_steps.sources import local, parquet_images


def unpack(path: Path, limit: int = 1 << 30) -> list[dict[str, Any]]:
    folder = path.parent / "raw"
    folder.mkdir()
    parquet_images.unpack(path, folder, "t.parquet", limit)
    found: list[dict[str, Any]] = pq.read_table(folder / "t.parquet").to_pylist()
    return found


def test_the_table_stays_with_paths_for_bytes(tmp_path: Path) -> None:
    outside = {"bytes": None, "path": "photos/9.jpg"}
    path = hf_files.write(tmp_path / "x.parquet", {"image": [hf_files.image(1), None, outside], "n": [1, 2, 3]})
    rows = unpack(path)
    assert rows[1:] == [{"image": None, "n": 2}, {"image": outside, "n": 3}]
    assert rows[0]["image"]["bytes"] is None
    assert (tmp_path / "raw" / rows[0]["image"]["path"]).read_bytes() == hf_files.png(1)


def test_images_of_which_none_has_a_path(tmp_path: Path) -> None:
    images = pa.array([{"bytes": hf_files.png(1), "path": None}, None])
    assert images.type.field("path").type == pa.null()
    path = hf_files.write(tmp_path / "x.parquet", {}, image=images)
    rows = unpack(path)
    assert (tmp_path / "raw" / rows[0]["image"]["path"]).read_bytes() == hf_files.png(1)
    assert rows[1] == {"image": None}


def test_no_more_than_a_few_rows_are_read_at_once(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"n": range(1000)}), path)  # one row group
    assert [len(batch) for batch in tables.batches(path, rows=300)] == [300, 300, 300, 100]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"n": [1]}, "has no column of images to unpack, a struct of bytes and path; its columns are: n (int64)"),
        ({"n": [{"bytes": b"", "path": 1}]}, "has no column of images to unpack, a struct of bytes and path"),
        ({"image": [{"bytes": b"no image", "path": "a"}]}, "x.parquet, column 'image', row 0, cannot be read"),
        ({"image": [{"bytes": b"", "path": "a"}]}, "x.parquet, column 'image', row 0, cannot be read"),
    ],
)
def test_what_is_no_image_is_named(tmp_path: Path, columns: dict[str, Any], message: str) -> None:
    path = hf_files.write(tmp_path / "x.parquet", columns)
    with pytest.raises(UserError) as caught:
        unpack(path)
    assert message in str(caught.value)


@pytest.mark.parametrize("damage", [lambda data: data[:-20], lambda data: b"PAR1" + data[:40], lambda data: b""])
def test_a_damaged_file_is_named(tmp_path: Path, damage: Any) -> None:
    path = hf_files.write(tmp_path / "x.parquet", {"image": [hf_files.image(1)]})
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(
        UserError, match=r"x\.parquet is no parquet file, or is damaged .*; delete it and fetch it again"
    ):
        unpack(path)


def test_damage_within_the_data_is_one_message_or_none(tmp_path: Path) -> None:
    path = hf_files.write(tmp_path / "x.parquet", {"image": [hf_files.image(n) for n in range(4)]})
    whole = path.read_bytes()
    for number, at in enumerate(range(4, len(whole), 97)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        folder = tmp_path / f"raw{number}"
        folder.mkdir()
        with contextlib.suppress(UserError):
            parquet_images.unpack(path, folder, "t.parquet", 1 << 30)


def test_more_bytes_than_allowed(tmp_path: Path) -> None:
    path = hf_files.write(tmp_path / "x.parquet", {"image": [hf_files.image(n) for n in range(4)]})
    with pytest.raises(UserError, match=r"holds images of more than the .* raise `limit_gib`"):
        unpack(path, limit=100)


def test_a_pattern_of_unpack_means_every_file(tmp_path: Path) -> None:
    for number in range(2):
        hf_files.write(tmp_path / f"in/data/train-{number}.parquet", {"image": [hf_files.image(number)]})
    (tmp_path / "in/README.md").write_text("x")
    source = {"name": "mine", "path": str(tmp_path / "in"), "unpack": ["data/*.parquet"]}
    local.fetch(source, tmp_path / "raw")
    assert len(list((tmp_path / "raw").glob("images/*/*.png"))) == 2
    assert {path.name for path in (tmp_path / "raw/data").iterdir()} == {"train-0.parquet", "train-1.parquet"}
    with pytest.raises(UserError, match=r"unpack names 'x/\*\.parquet', which is not among its files"):
        local.fetch(source | {"unpack": ["x/*.parquet"]}, tmp_path / "raw2")
