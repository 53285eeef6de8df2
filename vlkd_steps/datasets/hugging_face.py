"""Rows of parquet files as Hugging Face's `datasets` writes them: what the readers ``hf_*`` share.

An entry of a conf's ``files`` names its files by a pattern (``parquet: data/train-*.parquet``), and ``columns`` of the
conf says what columns are called where they have not the names that the reader expects. Images are files by now: the
download has unpacked them (`sources.parquet_images`). Rows are counted from 0, within their file, as `datasets` does.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import types

from vlkd_steps.core import inside, records, tables
from vlkd_steps.core.errors import UserError
from vlkd_steps.datasets import image_files
from vlkd_steps.datasets.tally import Unusable, sentence
from vlkd_steps.sources.parquet_images import described, identity, is_image

FETCH_AGAIN = "download its source again"
METADATA = b"huggingface"
"""Where `datasets` keeps what it knows of the columns, such as the names of classes."""


@dataclass(frozen=True)
class Column:
    """What a reader takes of a row.

    Attributes:
        fits: whether a type of arrow can hold it.
        words: what it must be, for messages.
        optional: whether a file may lack it.
    """

    fits: Callable[[pa.DataType], bool]
    words: str
    optional: bool = False


def is_text(kind: pa.DataType) -> bool:
    kind = kind.value_type if types.is_dictionary(kind) else kind
    return types.is_string(kind) or types.is_large_string(kind)


def is_list(kind: pa.DataType) -> bool:
    """Whether a type is a list; one of a given length is what `datasets` makes of ``List(..., length=4)``."""
    return types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)


def is_texts(kind: pa.DataType) -> bool:
    return is_list(kind) and is_text(kind.value_type)


IMAGE = Column(lambda kind: is_image(kind) or is_text(kind), "an image of `datasets`, or a path as text")
TEXT = Column(is_text, "text")
OPTIONAL_TEXT = Column(is_text, "text", optional=True)
IDENTITY = Column(lambda kind: types.is_integer(kind) or is_text(kind), "a whole number or text", optional=True)


@dataclass(frozen=True)
class Row:
    """One row.

    Attributes:
        values: by what the reader calls the columns; without those that the file lacks.
        place: its number among all rows of its split.
        named: how the columns are called in the file.
    """

    path: Path
    number: int
    place: int
    values: Mapping[str, Any]
    named: Mapping[str, str]

    def where(self, column: str = "") -> str:
        return f"row {self.number}" + (f".{self.named[column]}" if column else "")

    def text(self, column: str) -> str:
        """A text with single spaces.

        Raises:
            Unusable: it is null or empty.
        """
        name = self.named[column]
        return sentence({name: self.values[column]}, name, self.path, self.where())

    def identity(self, column: str, split: str) -> str:
        """The row's id, by a column or, without one, by its split and its place."""
        found = self.values.get(column)
        return f"{split}-{self.place}" if found is None else str(found)

    def complaint(self, column: str, problem: str, advice: str = "") -> UserError:
        return records.complaint(self.path, self.where(column), problem, advice)


class Images:
    """The images that the rows of a split name."""

    def __init__(self, dataset: Mapping[str, Any], paths: Mapping[str, Any], folder: Path) -> None:
        self.folder = image_files.of(dataset, {"images": ".", **paths}, folder)
        self.source = dataset.get("source")

    def of(self, row: Row, otherwise: str) -> tuple[str, str]:
        """The image's id and its path: it is known by the hash in its name or, not unpacked here, by its path.

        Args:
            otherwise: the id where the conf says that there are no images.

        Raises:
            Unusable: it is null, missing or empty.
            UserError: its bytes are still in the file.
        """
        found = row.values.get("image_id")
        if self.folder.folder is None:
            return otherwise if found is None else str(found), ""
        value = row.values["image"]
        if isinstance(value, Mapping) and value["bytes"] is not None:
            raise UserError(
                f'{row.path}: column {row.named["image"]!r} holds images as bytes; write `unpack: ["**/*.parquet"]` '
                f"in conf/source/{self.source}.yaml, so that the download makes files of them"
            )
        name = value["path"] if isinstance(value, Mapping) else value
        if name is None:
            raise Unusable("image is null", row.path, row.where("image"), "is null")
        path = self.folder.path(name, row.path, row.where("image"))
        return identity(name) if found is None else str(found), path


def files_of(paths: Mapping[str, Any], folder: Path) -> list[Path]:
    """The files that an entry of the conf's ``files`` names, sorted.

    Raises:
        UserError: there is none.
    """
    pattern = paths["parquet"]
    found = [] if inside.fault(pattern) else sorted(path for path in folder.glob(pattern) if path.is_file())
    if not found:
        raise UserError(f"{folder}: no file matches {pattern!r}; check `files` in the data set's conf")
    return found


def rows(
    dataset: Mapping[str, Any], paths: Mapping[str, Any], folder: Path, wanted: Mapping[str, Column]
) -> Iterator[Row]:
    """The rows of a split, a few at a time.

    Args:
        wanted: the columns by what the reader calls them.

    Raises:
        UserError: no file, a damaged one, or one that lacks a column or has another type in it.
    """
    place = 0
    for path in files_of(paths, folder):
        named = columns(path, dataset, paths, wanted)
        number = 0
        for batch in batches(path, list(named.values())):
            values = {column: batch.column(name).to_pylist() for column, name in named.items()}
            for at in range(len(batch)):
                row = {column: of_batch[at] for column, of_batch in values.items()}
                yield Row(path, number, place, row, named)
                number, place = number + 1, place + 1


def batches(path: Path, names: list[str]) -> Iterator[pa.RecordBatch]:
    """Some columns of a file, a few rows at a time.

    Raises:
        UserError: it is damaged, or holds text that is not UTF-8, which pyarrow reads without a word.
    """
    for batch in tables.batches(path, names, remedy=FETCH_AGAIN):
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            try:
                column.validate(full=True)
            except pa.ArrowInvalid as error:
                problem = f"holds text that is not UTF-8, or is damaged ({error})"
                raise records.complaint(path, f"column {name!r}", problem, "write the file again, as UTF-8") from error
        yield batch


def columns(
    path: Path, dataset: Mapping[str, Any], paths: Mapping[str, Any], wanted: Mapping[str, Column]
) -> dict[str, str]:
    """How a file calls the columns that it has.

    Raises:
        UserError: it lacks one, or one is of another type.
    """
    schema = tables.schema(path, FETCH_AGAIN)
    given = dataset.get("columns") or {}
    found = {}
    for column, kind in wanted.items():
        name = given.get(column, column)
        if (column == "image" and paths.get("images", ".") is None) or (name is None and kind.optional):
            continue
        if name not in schema.names:
            if kind.optional and column not in given:
                continue
            advice = f"say which is the {column} by `columns: {{{column}: NAME}}` in the data set's conf"
            raise records.complaint(path, "", f"has no column {name!r}; its columns are: {described(schema)}", advice)
        if not kind.fits(schema.field(name).type):
            problem = f"is of type {schema.field(name).type}, and must be {kind.words}"
            advice = "name another by `columns`, or convert it"
            advice += f", or leave it out: `columns: {{{column}: null}}`" if kind.optional else ""
            raise records.complaint(path, f"column {name!r}", problem, advice)
        found[column] = name
    return found


def class_names(path: Path, column: str) -> list[str]:
    """The names of the classes that a column of numbers counts in, as `datasets` recorded them; empty: it did not."""
    told = (tables.schema(path).metadata or {}).get(METADATA)
    feature: Any = records.parsed(told.decode(errors="replace"), path, "its metadata") if told else {}
    for key in ("info", "features", column, "names"):
        feature = feature.get(key) if isinstance(feature, dict) else None
    return feature if isinstance(feature, list) and all(isinstance(name, str) for name in feature) else []
