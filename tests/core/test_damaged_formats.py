"""Files of every format that are damaged, or hold what Python's parsers choke on: one message each."""

import gzip
import io
import json
import zipfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from vlkd_steps.core import arrays, files, json_text, patterns, records, tables
from vlkd_steps.core.errors import UserError
from vlkd_steps.sources import archive

BAD_JSON = {
    "deep": ("[" * 100_000 + "]" * 100_000, "nested too deeply"),
    "deep object": ('{"a":' * 100_000 + "1" + "}" * 100_000, "nested too deeply"),
    "digits": ("1" * 5000, "4300"),
    "nan": ("NaN", "NaN is no number of JSON"),
    "infinity": ("-Infinity", "-Infinity is no number of JSON"),
    "huge": ("1e999", "the number 1e999 is too large"),
    "surrogate": (r'"\ud83d"', r"half of a surrogate pair"),
    "low surrogate": (r'"a \uDE00"', r"half of a surrogate pair"),
    "control": ('"\x00"', "Invalid control character"),
}


@pytest.mark.parametrize("kind", BAD_JSON)
def test_json_that_no_step_can_use(kind: str, tmp_path: Path) -> None:
    text, message = BAD_JSON[kind]
    path = tmp_path / "a.json"
    path.write_text(f'{{"records": [{{"value": {text}}}]}}', encoding="utf-8")
    (tmp_path / "a.jsonl").write_text(f'{{}}\n{{"value": {text}}}\n', encoding="utf-8")
    for read in (
        lambda: list(records.array(path, "records")),
        lambda: records.document(path),
        lambda: files.read_json(path),
        lambda: list(records.lines(tmp_path / "a.jsonl")),
    ):
        with pytest.raises(UserError, match=message) as error:
            read()
        assert str(tmp_path / "a.json") in str(error.value)
        assert len(str(error.value)) < 500


def test_json_that_is_unusual_but_right() -> None:
    assert json_text.loads(r' {"a": "\ud83d\ude00", "b": 1e308, "c": "NaN\\ud83d"} ') == {
        "a": "\U0001f600", "b": 1e308, "c": "NaN\\ud83d"
    }  # fmt: skip
    with pytest.raises(json.JSONDecodeError, match="text after the end"):
        json_text.loads("{} {}")


def test_a_number_beyond_63_bits_is_not_an_id(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"x: a\.id: must be a whole number of at most 63 bits"):
        records.field({"id": 2**63}, "id", int, Path("x"), "a")


def test_csv_cells_may_be_long_and_rows_must_fit(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f'\ufeffa,b\n"{"x" * 200_000}",2\n\n', encoding="utf-8")
    assert list(records.rows(path)) == [(2, {"a": "x" * 200_000, "b": "2"})]
    path.write_text('a,b\n"never closed,2\n3,4\n')
    with pytest.raises(UserError, match=r"line 3: has 1 cells, the header has 2"):
        list(records.rows(path))
    path.write_bytes(b"a,b\ncaf\xe9,2\n")
    with pytest.raises(UserError, match="line 2: byte 7 is not valid UTF-8"):
        list(records.rows(path))


@pytest.mark.parametrize("damage", ["cut", "flipped", "text"])
def test_damaged_gzip_parquet_npy_and_npz(damage: str, tmp_path: Path) -> None:
    def damaged(content: bytes) -> bytes:
        if damage == "text":
            return b"no such file"
        half = len(content) // 2
        return content[:half] if damage == "cut" else content[:half] + bytes(20) + content[half + 20 :]

    (tmp_path / "a.json.gz").write_bytes(damaged(gzip.compress(json.dumps(list(range(999))).encode())))
    with pytest.raises(UserError, match=r"a\.json\.gz"):
        records.document(tmp_path / "a.json.gz")
    stream = io.BytesIO()
    pl.DataFrame({"a": np.random.default_rng(0).random(50)}).write_parquet(stream)
    footer = stream.getvalue()[-400:]  # of the data in between parquet has no checksums
    (tmp_path / "a.parquet").write_bytes(stream.getvalue()[:-400] + damaged(footer))
    with pytest.raises(UserError, match=r"a\.parquet is no parquet file, or is damaged .*delete it and fetch it"):
        tables.read(tmp_path / "a.parquet", remedy="fetch it again")
    stream = io.BytesIO()
    np.savez_compressed(stream, a=np.random.default_rng(0).random(500))
    with pytest.raises(ValueError, match="no whole npz"):
        arrays.from_npz(damaged(stream.getvalue()), ("a",))


@pytest.mark.parametrize("header", [
    b"\x93NUMPY\x01\x00\x76\x00{'descr': '<f4', 'fortran_order': False, 'shape': (3,",
    b"\x93NUMPY\x01\x00\x10\x00__import__('os')",
    b"\x93NUMPY\x09\x00\x10\x00" + b"x" * 16,
    b"\x93NUM",
    b"",
])  # fmt: skip
def test_damaged_npy_headers(header: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(header)
    with pytest.raises(ValueError, match="no whole npy file"):
        arrays.mapped(tmp_path / "a.npy")


def test_tables_that_lack_a_column_or_are_missing(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,b\n1,2\n")
    assert tables.read(tmp_path / "a.csv", ["b"]).to_dicts() == [{"b": "2"}]
    (tmp_path / "a.jsonl").write_text('{"a": 1}\n{"a"')
    with pytest.raises(UserError, match=r"a\.jsonl is no jsonl file"):
        tables.read(tmp_path / "a.jsonl")
    with pytest.raises(UserError, match=r"no\.parquet is missing; get it"):
        tables.read(tmp_path / "no.parquet", remedy="get it")


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_damaged_zips_of_every_compression(method: int, tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", method) as made:
        made.writestr("a.txt", bytes(np.random.default_rng(0).integers(0, 9, 5000, np.uint8)))
    whole = path.read_bytes()
    refused: list[bool] = []
    for place in range(0, len(whole), 40):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        try:
            archive.unpack(path, tmp_path / "out", 1 << 20)
        except UserError as error:
            refused.append(str(error).startswith(str(path)))
    assert all(refused)
    assert len(refused) > 5


@pytest.mark.parametrize(
    "pattern",
    [
        "{image_id.foo}", "{image_id[0]}", "{0}", "{}", "{image_id!r}", "{image_id:%s}", "{image_id:999999999d}",
        "{other}", "{", "{image_id:{folder}}", "{image_id.__class__}",
    ],
)  # fmt: skip
def test_patterns_that_are_more_than_fields(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        patterns.fill(pattern, {"image_id": 7, "folder": "train"})


def test_patterns_fill_numbers_and_text() -> None:
    assert (
        patterns.fill("COCO_{folder}_{image_id:012d}.jpg", {"image_id": 7, "folder": "t"}) == "COCO_t_000000000007.jpg"
    )
    assert patterns.fill("{image_id:0>4}{{}}", {"image_id": "7"}) == "0007{}"


@pytest.mark.parametrize("name", ["nul\0", "long" * 200])
def test_names_that_no_file_system_takes(name: str) -> None:
    for read in (records.read_text, files.read_json):
        with pytest.raises(UserError, match="cannot be read"):
            read(Path(name))
