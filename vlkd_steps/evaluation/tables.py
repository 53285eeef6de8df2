"""`summary.csv` and `gains.csv` read back, their numbers checked: whoever reads one of them reads it here."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from vlkd_steps import tasks
from vlkd_steps.core import checksums, experiment_option, layout
from vlkd_steps.core.errors import UserError
from vlkd_steps.evaluation.scores import folder
from vlkd_steps.evaluation.summary import plausible
from vlkd_steps.tasks import ACCURACY
from vlkd_steps.tracking import journal

TEXT = (
    "dataset", "student", "variant", "method", "teacher", "shot", "seed", "seeds", "evaluation_set", "metric",
    "run_key", "label",
)  # fmt: skip
COUNTS = ("n", "images", "learned", "grouped")
MEASURED = ("value", "mean", "reference_mean", "floor")
"""Columns that hold a value of the row's metric; the other numbers are differences, deviations and p values."""


def read(path: Path) -> pl.DataFrame:
    """A table in file order: numbers are float64, counts int64, empty cells null.

    Raises:
        UserError: it is missing or damaged (by `compare.sha256`, where that lies beside it), or a cell is no finite
            number or no value of its metric.
    """
    again = f"make it again: {making(path)}"
    if not path.exists():
        raise UserError(f"{path} does not exist; it is made by the step `compare`: {making(path)}")
    listing = path.with_name("compare.sha256")
    if listing.exists():
        checksums.verified(path, listing, again)
    try:
        cells = pl.read_csv(path, infer_schema=False)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise UserError(f"{path} cannot be read ({str(error).splitlines()[0]}); {again}") from error
    numbers = [column for column in cells.columns if column not in TEXT]
    found = cells.with_columns(
        pl.col(column).cast(pl.Int64 if column in COUNTS else pl.Float64, strict=False) for column in numbers
    )
    for column in numbers:
        wrong = cells[column].is_not_null() & ~found[column].is_finite().fill_null(value=False)
        if wrong.any():
            row = wrong.arg_true()[0]
            raise UserError(f"{path}, row {row + 2}: {column} is {cells[column][row][:40]!r}, not a number; {again}")
    known = tasks.metrics()
    for column in set(MEASURED) & set(numbers):
        names = found["metric"] if "metric" in found.columns else [ACCURACY] * len(found)
        for row, (name, value) in enumerate(zip(names, found[column], strict=True), 2):
            if name in known and value is not None:
                plausible(value, known[name], f"{path}, row {row}: {column}", again)
    return found


def making(path: Path) -> str:
    """The command that makes a table, be its experiment that of params.yaml or not."""
    return f"snakemake --cores 1 -f {path} {experiment_option.typed(path.parent.name)}"


def check_current(experiment: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Refuse a `summary.csv` of which some runs were trained again since, as by a run of a part of the graph.

    A run whose folder is not here is left to whoever reads it.

    Raises:
        UserError: there are such runs.
    """
    keys = {folder(experiment, row): row["run_key"] for row in rows}
    newer = [run for run, key in keys.items() if journal.owner(run) not in (None, key)]
    if newer:
        path = layout.results(experiment) / "summary.csv"
        raise UserError(
            f"{path} is of earlier runs: {len(newer)} of its {len(keys)} were trained again since, the first is "
            f"{newer[0]}; make it again: vlkd run {experiment}"
        )
