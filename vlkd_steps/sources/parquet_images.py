"""Unpacking a parquet file of Hugging Face's `datasets`, whose images are bytes inside: each becomes a file.

A column of images is a struct of ``bytes`` and ``path``. The images go to ``images/<two digits>/<hash>.<suffix>``, each
once, by the sha256 of its bytes; the table stays, with that path and without the bytes. So what follows finds image
files with checksums, as in any other source. Rows are read a few at a time: memory does not grow with the file.
"""

import hashlib
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from vlkd_steps.core import image_file, inside, tables
from vlkd_steps.core.errors import UserError
from vlkd_steps.sources import archive

IMAGES = "images"
DIGITS = 32  # of a sha256 in a file's name
ROWS = 64
FETCH_AGAIN = "fetch it again"


def unpack(parquet: Path, folder: Path, name: str, limit: int, most_rows: int | None = None) -> int:
    """Write the images of a parquet file below `folder`, and its table as ``folder/name``; returns the number of rows.

    Args:
        limit: the most bytes that the images may have together.
        most_rows: stop after so many; None: all.

    Raises:
        UserError: the file is damaged, has no column of images, or a row holds what is no image; more bytes than
            allowed, or no space left.
    """
    schema = tables.schema(parquet, FETCH_AGAIN)
    columns = [number for number, field in enumerate(schema) if is_image(field.type)]
    if not columns:
        raise UserError(
            f"{parquet} has no column of images to unpack, a struct of bytes and path; its columns are: "
            f"{described(schema)}; take it out of `unpack` in the source's conf"
        )
    where = f"{parquet}: the name"
    target = archive.free_place(inside.path(folder, name, where), where)
    archive.check_space(folder, parquet.stat().st_size)
    for number in columns:
        schema = schema.set(number, schema.field(number).with_type(_with_path(schema.field(number).type)))
    rows = written = 0
    with pq.ParquetWriter(target, schema, compression="zstd") as writer:
        for batch in tables.batches(parquet, rows=ROWS, remedy=FETCH_AGAIN):
            batch = batch.slice(0, None if most_rows is None else most_rows - rows)
            arrays = list(batch.columns)
            for number in columns:
                where = f"{parquet}, column {schema[number].name!r}, row"
                arrays[number], size = _written(arrays[number], schema.field(number).type, folder, where, rows)
                written += size
                if written > limit:
                    raise UserError(
                        f"{parquet} holds images of more than the {limit / archive.GIB:.2f} GiB allowed for it; if "
                        "that is right, raise `limit_gib` in the source's conf"
                    )
            writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema))
            rows += len(batch)
            if rows == most_rows:
                break
    return rows


def is_image(kind: pa.DataType) -> bool:
    """Whether a column of this type holds images as `datasets` stores them; a path that no row has is of type null."""
    types = {field.name: field.type for field in kind} if pa.types.is_struct(kind) else {}
    return set(types) == {"bytes", "path"} and types["path"] in (pa.string(), pa.large_string(), pa.null())


def identity(path: str) -> str:
    """What an image is known by: the hash in the path of one that was unpacked, else its path."""
    unpacked = re.fullmatch(rf"{IMAGES}/[0-9a-f]{{2}}/([0-9a-f]{{{DIGITS}}})\.[a-z0-9]+", path)
    return unpacked[1] if unpacked else path


def described(schema: pa.Schema) -> str:
    """The columns with their types, for messages."""
    return ", ".join(f"{field.name} ({field.type})" for field in schema) or "none"


def _with_path(kind: pa.StructType) -> pa.StructType:
    return pa.struct([field.with_type(pa.string()) if pa.types.is_null(field.type) else field for field in kind])


def _written(
    column: pa.StructArray, kind: pa.StructType, folder: Path, where: str, first: int
) -> tuple[pa.StructArray, int]:
    """The column with the paths of its images, which are written, and how many bytes these have.

    Args:
        kind: the type of the result.
        where, first: for messages: the column, and the number of its first row.
    """
    kinds = {field.name: field.type for field in kind}
    paths = column.field("path").to_pylist()
    size = 0
    for number, content in enumerate(column.field("bytes")):
        data: bytes | None = content.as_py() if column[number].is_valid else None
        if data is not None:
            at = f"{where} {first + number},"
            if not isinstance(data, bytes):
                raise UserError(f"{at} bytes is of type {kinds['bytes']}, not binary; write images as `datasets` does")
            digest = hashlib.sha256(data).hexdigest()[:DIGITS]
            paths[number] = f"{IMAGES}/{digest[:2]}/{digest}{image_file.suffix(data, at)}"
            target = folder / paths[number]
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(data)
                size += len(data)
    arrays = {"bytes": pa.nulls(len(column), kinds["bytes"]), "path": pa.array(paths, kinds["path"])}
    fields = list(kind)
    made = pa.StructArray.from_arrays([arrays[field.name] for field in fields], fields=fields, mask=column.is_null())
    return made, size
