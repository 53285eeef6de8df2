"""The rows of a data set that a teacher embeds."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from vlkd_steps.core import artifacts, tables
from vlkd_steps.core.errors import UserError
from vlkd_steps.data import passages


def of_teacher(dataset: Mapping[str, Any], splits: Sequence[str] | None) -> pl.DataFrame:
    """``image_id, image_path, text`` of the rows that distillation reads; of every role's, with ``splits: used``.

    Raises:
        UserError: the data set has no such rows.
    """
    path = artifacts.instances(dataset["name"])
    roles = dataset.get("roles", {})
    if splits == "used":
        splits = sorted({role["split"] for role in roles.values()})
    splits = splits or [roles.get("train", {}).get("split", "train")]
    table = pl.scan_parquet(path).filter(pl.col("split").is_in(list(splits)))
    rows = table.select("image_id", "image_path", "text", "choices").collect()
    if passages.has_choices(rows):  # other columns, most of the file, are needed only then
        rows = table.collect()
    if rows.is_empty():
        there = ", ".join(sorted(tables.read(path, columns=["split"])["split"].unique().to_list()))
        raise UserError(f"{path} has no rows of split {', '.join(splits)}, only {there}; set the teacher's `splits`")
    seen = passages.teacher_texts(rows).select("image_id", "image_path", "text")
    return seen.filter((pl.col("image_path") != "") | (pl.col("text") != ""))  # a corpus in shards stores nothing
