"""Parquet files, and tables of the user's own in jsonl or csv, read by one function: a damaged file is named.

Rust code behind polars panics on some damaged files with an exception that is no `Exception`, so it is not asked to
open a parquet file: pyarrow is. Both are imported on first use, since many commands need neither.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlkd_steps.core import files
from vlkd_steps.core.errors import UserError

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

KINDS = (".parquet", ".jsonl", ".csv")
"""The file names that `read` knows by their ends; any other is read as parquet."""


def read(
    path: Path, columns: Sequence[str] | None = None, remedy: str = files.REMAKE, what: str = ""
) -> "pl.DataFrame":
    """A table, or some of its columns. Cells of a csv file are text: 007 is no 7.

    Args:
        remedy: what to do about a missing or damaged file; ``{path}`` is replaced by its path.
        what: the file must be, for messages; left out: a parquet, jsonl or csv file.

    Raises:
        UserError: the file is missing, damaged, or lacks one of the columns.
    """
    import polars as pl
    import pyarrow.parquet as pq

    def parquet() -> pl.DataFrame:
        return pl.DataFrame(pq.read_table(path, columns=None if columns is None else list(columns)))

    readers = {".jsonl": lambda: pl.read_ndjson(path), ".csv": lambda: pl.read_csv(path, infer_schema=False)}
    kind = path.suffix if path.suffix in readers else ".parquet"
    found: pl.DataFrame = _guarded(readers.get(kind, parquet), path, remedy, what or f"{kind[1:]} file")
    if missing := [name for name in columns or () if name not in found.columns]:
        raise UserError(f"{path} has no column {missing[0]!r}; {remedy.replace('{path}', str(path))}")
    return found.select(columns) if columns is not None else found


def metadata(path: Path, remedy: str = files.REMAKE, what: str = "parquet file") -> Mapping[bytes, bytes]:
    """What a parquet file says about itself; errors as for `read`."""
    import pyarrow.parquet as pq

    found: Mapping[bytes, bytes] = _guarded(lambda: pq.read_schema(path).metadata or {}, path, remedy, what)
    return found


def schema(path: Path, remedy: str = files.REMAKE) -> "pa.Schema":
    """The columns of a parquet file and their types; errors as for `read`, and two columns of one name."""
    import pyarrow.parquet as pq

    found: pa.Schema = _guarded(lambda: pq.read_schema(path), path, remedy, "parquet file")
    if twice := [name for name in found.names if found.names.count(name) > 1]:
        raise UserError(f"{path} has several columns {twice[0]!r}; rename all but one of them")
    return found


def rows_of(path: Path, remedy: str = files.REMAKE) -> int:
    """How many rows a parquet file has, by its footer; errors as for `read`."""
    import pyarrow.parquet as pq

    return int(_guarded(lambda: pq.ParquetFile(path).metadata.num_rows, path, remedy, "parquet file"))


def batches(
    path: Path, columns: Sequence[str] | None = None, rows: int = 256, remedy: str = files.REMAKE
) -> Iterator["pa.RecordBatch"]:
    """The rows of a parquet file, or some of its columns, `rows` at a time: no row group is ever whole in memory.

    Columns that the file lacks are left out; errors as for `read`.
    """
    import pyarrow.parquet as pq

    def opened() -> Iterator["pa.RecordBatch"]:
        file = pq.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False)
        return iter(file.iter_batches(rows, columns=None if columns is None else list(columns), use_threads=False))

    found = _guarded(opened, path, remedy, "parquet file")
    while (batch := _guarded(lambda: next(found, None), path, remedy, "parquet file")) is not None:
        yield batch


def _guarded(opened: Callable[[], Any], path: Path, remedy: str, what: str) -> Any:
    import polars as pl
    import pyarrow as pa

    remedy = remedy.replace("{path}", str(path))
    try:
        return opened()
    except FileNotFoundError:
        raise UserError(f"{path} is missing; {remedy}") from None
    except (pa.ArrowException, pl.exceptions.PolarsError, OSError, ValueError, OverflowError, MemoryError) as error:
        why = " ".join(str(error).split())[:200]
        raise UserError(f"{path} is no {what}, or is damaged ({why}); delete it and {remedy}") from error
