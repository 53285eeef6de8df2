"""Extract a teacher's features of a data set, once: every distinct picture, text and word (DESIGN 4).

    python -m vlkd_steps.extract --config '{"teacher": {"name": "clip_scenes", "kind": "clip", ...},
                                            "dataset": {"name": "scenes_vqa", "roles": {...}}}'

Only the rows that may be trained on are read: the file group of the role `train`, or what the teacher's `splits` lists.
A killed extraction goes on at the first missing shard; ``features/<teacher>/<data set>/manifest.json`` comes last.
"""

import importlib
import time
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from vlkd_steps import layout, step
from vlkd_steps.errors import UserError
from vlkd_steps.teachers import extraction
from vlkd_steps.tracking import provenance


@step.entry
def main(argv: Sequence[str] | None = None) -> int:
    started = time.monotonic()
    config = step.configuration(argv, __doc__)
    teacher, dataset = config["teacher"], config["dataset"]
    instances = training_rows(dataset, teacher.get("splits"))
    model = importlib.import_module(f"vlkd_steps.teachers.{teacher['kind']}").load(teacher)
    store = extraction.extract(
        model,
        instances,
        layout.features(teacher["name"], dataset["name"]),
        teacher,
        f"extract {teacher['name']} {dataset['name']}",
        name=teacher["name"],
        dataset=dataset["name"],
    )
    provenance.record(layout.features(teacher["name"], dataset["name"]), started)
    step.log.info(f"[extract {teacher['name']} {dataset['name']}] done: {store.manifest['rows']}, key {store.key}")
    return 0


def training_rows(dataset: Mapping[str, Any], splits: Sequence[str] | None) -> pl.DataFrame:
    """``image_id, image_path, text`` of the rows that distillation reads.

    Raises:
        UserError: the data set is not prepared, or has no such rows.
    """
    path = layout.instances(dataset["name"])
    if not path.is_file():
        raise UserError(f"{path} is missing; prepare the data set first: snakemake {path}")
    splits = splits or [dataset.get("roles", {}).get("train", {}).get("split", "train")]
    table = pl.read_parquet(path, columns=["split", "image_id", "image_path", "text"])
    rows = table.filter(pl.col("split").is_in(list(splits)))
    if rows.is_empty():
        there = ", ".join(sorted(table["split"].unique().to_list()))
        raise UserError(f"{path} has no rows of split {', '.join(splits)}, only {there}; set the teacher's `splits`")
    return rows.select("image_id", "image_path", "text")


if __name__ == "__main__":
    raise SystemExit(main())
