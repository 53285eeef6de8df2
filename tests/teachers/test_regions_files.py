"""Official files of region features, read as they are; damaged ones are named."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import official_regions
import pytest
from official_regions import DIM, features, npz, packed, tsv_line, write_lmdb

from vlkd_steps.core.errors import UserError
from vlkd_steps.teachers.features.extraction import ImageRef
from vlkd_steps.teachers.regions import regions_files
from vlkd_steps.teachers.regions.region_extraction import Regions

PICTURE = ImageRef("7", Path("data/raw/coco/train2014/COCO_train2014_000000000007.jpg"))
NAME = "coco_train2014_000000000007.npz"
KEY = "coco_{folder}_{number:012d}.npz"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def conf(form: str, *files: str, **more: Any) -> dict[str, Any]:
    return {"name": "butd_toy", "format": form, "files": list(files), "key": KEY, "dim": DIM, **more}


def found(config: dict[str, Any]) -> Regions:
    source = regions_files.load(config)
    (regions,) = source.regions([source.load(PICTURE)])
    return regions


def expected(arrays: dict[str, np.ndarray], number: int, lossy: bool = True) -> tuple[np.ndarray, np.ndarray]:
    boxes = arrays["norm_bb"][:number]
    rows = arrays["features"][:number]
    if lossy:
        boxes, rows = official_regions.half(boxes).astype(np.float32), official_regions.half(rows)
    return rows.astype(np.float32), np.concatenate([boxes, boxes[:, 4:5] * boxes[:, 5:6]], axis=1)


def test_an_lmdb_that_was_copied_in_part_or_damaged_is_a_message() -> None:
    write_lmdb(Path("butd"), {f"{number}": bytes(500) for number in range(500)})
    path = Path("butd/data.mdb")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])  # LMDB would read beyond the end, and the process be killed
    with pytest.raises(UserError, match=r"the LMDB butd is cut off: data\.mdb has \d+ of \d+ bytes; copy it again"):
        found(conf("lmdb", "butd"))
    path.write_bytes(content[:8192].ljust(len(content), b"\0"))
    with pytest.raises(UserError, match=rf"the LMDB butd cannot be read at '{NAME}' .*; copy it again"):
        found(conf("lmdb", "butd"))


@pytest.mark.parametrize("form", ["npz", "lmdb compressed", "lmdb"])
def test_uniters_files(form: str) -> None:
    arrays = features(0)
    if form == "npz":
        Path("butd").mkdir()
        Path("butd", NAME).write_bytes(npz(arrays))
    else:
        write_lmdb(Path("butd"), {NAME: npz(arrays) if form == "lmdb compressed" else packed(arrays)})
    regions = found(conf(form.split()[0], "butd"))
    rows, places = expected(arrays, 11)
    np.testing.assert_array_equal(regions.features, rows)
    np.testing.assert_array_equal(regions.locations, places)


@pytest.mark.parametrize(("sure", "taken"), [(3, 10), (11, 11), (40, 40), (120, 100)])
def test_as_many_regions_as_the_official_rule_takes(sure: int, taken: int) -> None:
    Path("butd").mkdir()
    Path("butd", NAME).write_bytes(npz(features(1, regions=130, sure=sure)))
    assert len(found(conf("npz", "butd")).features) == taken
    assert len(found(conf("npz", "butd", confidence=-1)).features) == 100


def test_the_surest_regions_are_taken_wherever_they_are_and_given_boxes_from_the_first_on() -> None:
    arrays = features(1, regions=20, sure=0)
    arrays["conf"][[12, 15, 19]] = 0.9
    Path("butd").mkdir()
    Path("butd", NAME).write_bytes(npz(arrays))
    rows, places = expected(arrays, 20)
    for change, taken in (({}, [12, 15, 19]), ({"max_regions": 2}, [12, 15]), ({"confidence": -1}, [*range(20)])):
        regions = found(conf("npz", "butd", min_regions=1) | change)
        np.testing.assert_array_equal(regions.features, rows[taken])
        np.testing.assert_array_equal(regions.locations, places[taken])
    assert len(found(conf("npz", "butd", confidence=-1, max_regions=4)).features) == 4


def test_the_bottom_up_tsv_in_several_parts() -> None:
    lines = {number: features(number, regions=4) for number in (5, 6, 7)}
    Path("a.tsv").write_bytes(tsv_line(5, lines[5], 640, 480) + tsv_line(6, lines[6], 640, 480))
    Path("b.tsv").write_bytes(tsv_line(7, lines[7], 500, 400))
    regions = found(conf("tsv", "a.tsv", "b.tsv", key="{number}"))
    rows, places = expected(lines[7], 4, lossy=False)
    np.testing.assert_array_equal(regions.features, rows)
    np.testing.assert_allclose(regions.locations, places, atol=1e-6)


def test_parts_follow_one_another_and_the_first_key_that_exists_is_used() -> None:
    given, detected = features(0, regions=3, sure=0), features(1)
    write_lmdb(Path("gt"), {"gt_val_7.npz": packed(given)})
    write_lmdb(Path("det"), {NAME: packed(detected)})
    parts = [
        {"files": ["gt"], "key": ["gt_train_{image_id}.npz", "gt_val_{image_id}.npz"], "confidence": -1},
        {"files": ["det"]},
    ]
    regions = found(conf("lmdb", parts=parts))
    np.testing.assert_array_equal(
        regions.features, np.concatenate([expected(given, 3)[0], expected(detected, 11)[0]]).astype(np.float32)
    )


def test_what_the_features_are_made_from_is_hashed() -> None:
    Path("butd").mkdir()
    Path("butd", NAME).write_bytes(npz(features(0)))
    before = regions_files.load(conf("npz", "butd")).inputs(PICTURE)
    assert before == regions_files.load(conf("npz", "butd")).inputs(PICTURE)
    Path("butd", NAME).write_bytes(npz(features(1)))
    assert before != regions_files.load(conf("npz", "butd")).inputs(PICTURE)


def objects() -> bytes:
    content: bytes = official_regions.msgpack.packb(
        {"features": {b"nd": True, b"type": "|O", b"kind": b"O", b"data": b""}}
    )
    return content


def whole_numbers() -> bytes:
    stream = io.BytesIO()
    np.savez(stream, features=np.zeros((3, DIM), int), norm_bb=np.zeros((3, 6)))
    return stream.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no npz", "neither an npz nor msgpack"),
        (npz(features(0))[:-60], "no whole npz"),
        (packed(features(0))[:-9], "neither an npz nor msgpack"),
        (objects(), "an array of objects or records"),
        (
            whole_numbers(),
            "features holds values that are no finite",
        ),
        (
            npz({"features": np.full((3, DIM), np.nan), "norm_bb": np.zeros((3, 6))}),
            "features holds values that are no",
        ),
        (npz({"features": np.zeros((3, DIM)), "norm_bb": np.full((3, 6), 200.0)}), "as shares of the image's width"),
        (
            npz({"features": np.zeros((3, DIM)), "norm_bb": np.tile([0.5, 0, 0.1, 1], (3, 1))}),
            "as shares of the image's",
        ),
        (npz({"features": np.zeros((3, DIM))}), "no norm_bb among ['features']"),
        (npz({"features": np.zeros((3, DIM)), "norm_bb": np.zeros((2, 6))}), "features of shape [3, 5] with boxes"),
        (npz({**features(0), "conf": np.zeros(4)}), "conf of shape [4] for 12 regions"),
    ],
)
def test_damaged_values_of_an_lmdb_are_named(content: bytes, message: str) -> None:
    write_lmdb(Path("butd"), {NAME: content})
    with pytest.raises(UserError) as error:
        found(conf("lmdb", "butd"))
    assert f"the features of image '7' ({PICTURE.path}) in butd are damaged: " in str(error.value)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"7\t640\t480\t2\tAAAA\n", "a line of 5 columns"),
        (b"7\t640\t480\tx\tAAAA\tAAAA\n", "a damaged line"),
        (b"7\t640\t480\t2\tAA*A\tAAAA\n", "a damaged line"),
        (b"7\t640\t480\t2\tAAAAAA==\tAAAAAA==\n", "2 boxes of 1 numbers and 1 features"),
    ],
)
def test_damaged_lines_of_a_tsv_are_named(line: bytes, message: str) -> None:
    Path("a.tsv").write_bytes(line)
    with pytest.raises(UserError) as error:
        found(conf("tsv", "a.tsv", key="{number}"))
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (conf("hdf5", "butd"), "format is 'hdf5'; there are npz, lmdb, tsv"),
        (conf("npz", "nowhere"), "the folder of region features nowhere is missing"),
        (conf("tsv", "nowhere.tsv"), "the file of region features nowhere.tsv is missing"),
        (conf("lmdb", "there"), "the LMDB folder there has no data.mdb"),
        (conf("lmdb", "broken"), "the LMDB broken cannot be opened"),
        (conf("npz", "there"), f"there are no features '{NAME}' for image '7'"),
        (conf("npz", "there", key="{nummer}"), "its fields are {image_id}, {stem}, {folder}"),
        (conf("npz", "there", dim=0), "does not state the width of its features; set dim"),
        (conf("npz"), "names no files and key for this data set"),
    ],
)
def test_mistakes_are_named(config: dict[str, Any], message: str) -> None:
    Path("there").mkdir()
    Path("broken").mkdir()
    Path("broken/data.mdb").write_bytes(b"x" * 100)
    with pytest.raises(UserError) as error:
        found(config)
    assert message in str(error.value)
