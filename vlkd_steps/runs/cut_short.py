"""Predictions of a set that a stop signal cut short: beside the set's file, with their checksum, until it is whole."""

from pathlib import Path

import polars as pl

from vlkd_steps.core import checksums, files
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.step import log


def read(predictions: Path) -> pl.DataFrame | None:
    """What was saved of a set, whose file is `predictions`; None: nothing, or a damaged file."""
    path = _path(predictions)
    if not path.is_file():
        return None
    try:
        return pl.read_parquet(checksums.verified(path, _checksums(path)))
    except UserError:
        log.warning(f"{path} is damaged; the set is predicted again")
        return None


def write(predictions: Path, found: pl.DataFrame) -> None:
    path = _path(predictions)
    with files.atomic(path) as temporary:
        found.write_parquet(temporary)
    checksums.write(_checksums(path), [path])


def remove(predictions: Path) -> None:
    for left in (_path(predictions), _checksums(_path(predictions))):
        left.unlink(missing_ok=True)


def _path(predictions: Path) -> Path:
    return predictions.with_suffix(".partial.parquet")


def _checksums(path: Path) -> Path:
    return path.with_suffix(".sha256")
