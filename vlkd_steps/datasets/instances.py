"""The instances table: one row per question, whatever the official format (docs/design.md, "Formats").

Written once by `prepare`, read by all later steps. Its content hash is stored in the file's own
metadata, so that a step gets it without reading 658 k rows.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vlkd_steps.core import files, tables
from vlkd_steps.core.errors import UserError

SOFT_LABEL = pa.struct([("label", pa.int64()), ("score", pa.float64())])

SCHEMA = pa.schema(
    [
        ("instance_id", pa.string()),  # the official id, as text
        ("split", pa.string()),  # the file group it came from: train, dev, test, ...
        ("image_id", pa.string()),
        ("image_path", pa.string()),  # relative to the project's root; empty where the data has no images
        ("text", pa.string()),
        ("choices", pa.list_(pa.string())),
        ("label", pa.int64()),  # null: none, or no answer within the vocabulary
        ("soft_labels", pa.list_(SOFT_LABEL)),
        ("answer_type", pa.string()),
        ("group", pa.string()),  # what low-shot subsets are stratified by
        ("extra", pa.string()),  # JSON: what only the task's evaluator needs
    ]
)

ROW_GROUP = 65_536
PREPARE = "run the prepare step for this data set: snakemake --cores 1 -f {path}"
_OF_ROWS = "of Parquet files, leave out the column of ids, as by `columns: {question_id: null}`: rows then count"
_CONTENT, _IMAGES, _NEAR, _COUNTS = b"vlkd.content", b"vlkd.images", b"vlkd.near_images", b"vlkd.counts"


@dataclass(frozen=True)
class Instances:
    """What a reader returns.

    Attributes:
        table: the rows.
        labels: the classes that `label` counts in (empty: no classes).
        counts: what `Tally.close` gives, by split.
        read: files of the raw folder that were read beside those that ``files`` of the conf names.
    """

    table: pa.Table
    labels: list[str]
    counts: dict[str, dict[str, Any]] = field(default_factory=dict)
    read: frozenset[Path] = frozenset()


def table(columns: dict[str, Sequence[object] | pa.Array], split: str, without: Set[int] = frozenset()) -> pa.Table:
    """Rows of one split from columns, sorted by instance id; columns left out are empty (label: null).

    Args:
        without: the numbers of rows that are left out.
    """
    rows = len(columns["instance_id"])
    empty: dict[str, object] = {"label": None, "choices": [], "soft_labels": [], "split": split}
    arrays = []
    for each in SCHEMA:
        column = columns.get(each.name)
        if column is None:
            arrays.append(pa.array([empty.get(each.name, "")] * rows, each.type))
        else:
            arrays.append(column if isinstance(column, pa.Array) else pa.array(column, each.type))
    ids = columns["instance_id"]
    order = sorted(set(range(rows)) - without, key=lambda row: str(ids[row]))
    return pa.Table.from_arrays(arrays, schema=SCHEMA).take(pa.array(order, pa.int64()))


def join(tables: dict[str, pa.Table]) -> pa.Table:
    """All splits of a data set in one table, in the splits' alphabetical order.

    Raises:
        UserError: two splits, or two rows of one, hold the same instance id.
    """
    seen: dict[str, str] = {}
    for split in sorted(tables):
        for instance_id in tables[split]["instance_id"].to_pylist():
            if seen.get(instance_id) == split:
                rows = tables[split].filter(pc.equal(tables[split]["instance_id"], instance_id)).to_pylist()
                shown = ", and ".join(f"{row['text'][:60]!r} on image {row['image_id'][:60]}" for row in rows[:2])
                raise UserError(
                    f"the id {instance_id} is there {len(rows)} times in split {split!r}: {shown}; ids must be unique: "
                    f"correct one, or, {_OF_ROWS}"
                )
            if instance_id in seen:
                raise UserError(
                    f"the id {instance_id} is in split {seen[instance_id]!r} and in split {split!r}; "
                    f"ids must be unique within a data set: leave one of the two files out of `files`, or, {_OF_ROWS}"
                )
            seen[instance_id] = split
    return pa.concat_tables([tables[split] for split in sorted(tables)])


def check_images(table: pa.Table, sha256: Callable[[str], str]) -> None:
    """Refuse an image id that means two images, as where each split counts its images from 0 in a folder of its own.

    Args:
        sha256: of the image of a path: equal bytes under two paths are one image.

    Raises:
        UserError: two paths of one id hold different bytes.
    """
    frame = pl.DataFrame(table.select(["image_id", "image_path", "split"])).filter(pl.col("image_path") != "")
    paths: dict[str, tuple[str, str]] = {}
    for image_id, path, split in frame.unique(
        ["image_id", "image_path"], keep="first", maintain_order=True
    ).iter_rows():
        other, where = paths.setdefault(image_id, (path, split))
        if other != path and sha256(other) != sha256(path):
            raise UserError(
                f"the image id {image_id} means {other} in split {where}, and {path} in split {split}, which is "
                "another image; give every image an id of its own. Of Parquet files, leave that column out with "
                "`columns: {image_id: null}` in the conf: the content then identifies an image"
            )


def write(
    instances: pa.Table,
    path: Path,
    images_hash: str,
    near_images: Mapping[str, int] | None = None,
    counts: Mapping[str, Any] | None = None,
) -> None:
    """Write the table as parquet: equal rows are equal bytes (with one version of pyarrow).

    Args:
        instances: the rows.
        path: the file.
        images_hash: identifies the pixels.
        near_images: group by image id, for images that are nearly the same (`splits.near_images`).
        counts: the records that were read, left out and skipped, by split (`tally`).
    """
    metadata = {
        _CONTENT: table_hash(instances).encode(),
        _IMAGES: images_hash.encode(),
        _NEAR: files.canonical(dict(near_images or {})).encode(),
        _COUNTS: files.canonical(dict(counts or {})).encode(),
    }
    with (
        files.atomic(path) as temporary,
        pq.ParquetWriter(temporary, SCHEMA.with_metadata(metadata), compression="zstd") as writer,
    ):
        # Slices of the whole, not of its chunks: row groups must not depend on how the table was built.
        for start in range(0, max(len(instances), 1), ROW_GROUP):
            part = instances.slice(start, ROW_GROUP).combine_chunks()
            writer.write_table(part.replace_schema_metadata(metadata), row_group_size=ROW_GROUP)


def read(path: Path, columns: Sequence[str] | None = None) -> pl.DataFrame:
    """The table, or some of its columns, as a polars frame.

    Raises:
        UserError: the file is missing, is no parquet file, or lacks one of the columns.
    """
    return tables.read(path, columns, PREPARE, "instances file")


def content_hash(path: Path) -> str:
    """sha256 of the table's content columns, as `write` recorded it."""
    return _metadata(path, _CONTENT)


def images_hash(path: Path) -> str:
    """sha256 over the names and hashes of all image files that the rows name; it identifies the pixels."""
    return _metadata(path, _IMAGES)


def near_images(path: Path) -> dict[str, int]:
    """Group by image id, for images that are nearly the same as another one of the data set."""
    return dict(json.loads(_metadata(path, _NEAR)))


def counts(path: Path) -> dict[str, dict[str, Any]]:
    """By split how many records were read, and how many left out and skipped by reason."""
    return dict(json.loads(_metadata(path, _COUNTS)))


def table_hash(instances: pa.Table) -> str:
    """sha256 of the rows' content, whatever the chunking or the compression."""
    total = hashlib.sha256()
    for name in instances.column_names:
        column = instances[name]
        parts: dict[str, hashlib._Hash] = {}
        for chunk in column.chunks:
            _update(parts, name, chunk)
        total.update(name.encode() + b"\0")
        for part in sorted(parts):
            total.update(part.encode() + b"\0" + parts[part].digest())
    return total.hexdigest()


def _update(parts: dict[str, "hashlib._Hash"], name: str, array: pa.Array) -> None:
    """Feed an array into running hashes, one per buffer, so that chunk boundaries do not matter."""

    def feed(part: str, data: bytes | memoryview) -> None:
        parts.setdefault(f"{name}/{part}", hashlib.sha256()).update(data)

    if pa.types.is_string(array.type):
        offsets = np.frombuffer(array.buffers()[1], np.int32)[array.offset : array.offset + len(array) + 1]
        if len(array):
            feed("lengths", np.diff(offsets).astype("<i8").tobytes())
            data = array.buffers()[2]
            feed("bytes", memoryview(data)[offsets[0] : offsets[-1]] if data is not None else b"")
    elif pa.types.is_list(array.type):
        feed("lengths", array.value_lengths().to_numpy(zero_copy_only=False).astype("<i8").tobytes())
        _update(parts, f"{name}[]", array.flatten())
    elif pa.types.is_struct(array.type):
        for child in array.type:
            _update(parts, f"{name}.{child.name}", array.field(child.name))
    else:
        feed("valid", array.is_valid().to_numpy(zero_copy_only=False).tobytes())
        kind = "<i8" if pa.types.is_integer(array.type) else "<f8"
        feed("values", array.fill_null(0).to_numpy(zero_copy_only=False).astype(kind).tobytes())


def _metadata(path: Path, key: bytes) -> str:
    metadata = tables.metadata(path, PREPARE, "instances file")
    if key not in metadata:
        raise UserError(f"{path} was not written by the prepare step; delete it and run that step again")
    return metadata[key].decode()
