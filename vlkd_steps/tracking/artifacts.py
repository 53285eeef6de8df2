"""The files of a tracked run: configuration, a sample of its predictions, its student by reference."""

import hashlib
import json
import shutil
from functools import cache
from pathlib import Path
from typing import Any

from vlkd_steps.core import files, layout, run_yaml
from vlkd_steps.tracking import student_model
from vlkd_steps.tracking.records import Record

SAMPLE = "predictions/{}.json"
SAMPLE_SIZE = 50


def write(record: Record, folder: Path) -> list[str]:
    """Write a finished run's artifacts into `folder` and return the names of the tables among them."""
    for source in (layout.run_config(record.folder), layout.provenance(record.folder)):
        if source.is_file():
            shutil.copyfile(source, folder / source.name)
    if student_model.has(record):
        dataset = record.tags["dataset"]
        instances = layout.instances(dataset)
        changed = instances.stat().st_mtime_ns if instances.is_file() else None
        student_model.write(record, folder, _first_item(dataset, changed))
    tables = []
    for evaluation_set in _sampled_sets(record):
        name = SAMPLE.format(evaluation_set)
        (folder / name).parent.mkdir(exist_ok=True)
        of = evaluated_dataset(record.folder, evaluation_set) or record.tags["dataset"]
        table = prediction_sample(record.folder, of, evaluation_set)
        (folder / name).write_text(json.dumps(table, ensure_ascii=False), encoding="utf-8")
        tables.append(name)
    return tables


def prediction_sample(run_folder: Path, dataset: str, evaluation_set: str, size: int = SAMPLE_SIZE) -> dict[str, Any]:
    """A table of `size` predictions in MLflow's format: the same instances in every run.

    MLflow's page joins runs by the first column and shows the second side by side, so these are the question with its
    gold answer, and the run's answer.

    Returns:
        ``{"columns": ["item", "answer", ...], "data": [[...], ...]}``.
    """
    import polars as pl

    from vlkd_steps.core import tables

    predictions = tables.read(layout.predictions(run_folder, evaluation_set))
    order = predictions["instance_id"].map_elements(_rank, return_dtype=pl.String)
    sample = predictions.with_columns(order.alias("rank")).sort("rank").head(size).drop("rank")
    chosen = sample["instance_id"].to_list()
    items: dict[str, dict[str, Any]] = {identity: {"item": identity} for identity in chosen}
    if layout.instances(dataset).is_file():
        changed = layout.instances(dataset).stat().st_mtime_ns
        items |= {identity: dict(item) for identity, item in _described(dataset, changed, tuple(chosen)).items()}
    if layout.scores(run_folder, evaluation_set).is_file():
        scores = tables.read(layout.scores(run_folder, evaluation_set), columns=["instance_id", "score"])
        for identity, score in scores.filter(pl.col("instance_id").is_in(chosen)).iter_rows():
            items[identity]["score"] = round(score, 4)
    columns = ["item", "answer", "gold", "score", "probability", "image_path"]
    rows = [
        {**items[row["instance_id"]], "answer": row["answer"], "probability": rounded(row["probability"])}
        for row in sample.iter_rows(named=True)
    ]
    return {"columns": columns, "data": [[row.get(column) for column in columns] for row in rows]}


@cache
def _described(dataset: str, changed: int, chosen: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """The question, gold answer and image of some instances, which all runs of a data set share."""
    import polars as pl

    columns = ["instance_id", "text", "label", "image_path"]
    instances = pl.scan_parquet(layout.instances(dataset)).select(columns)
    names = _class_names(dataset)
    found = {}
    for row in instances.filter(pl.col("instance_id").is_in(chosen)).collect().iter_rows(named=True):
        gold = names.get(row["label"], "none of the classes")
        item = f"{row['text']} [{gold}] {row['instance_id']}"
        found[row["instance_id"]] = {"item": item, "gold": gold, "image_path": row["image_path"]}
    return found


def rounded(probability: float | None) -> float | None:
    """None for a generated answer, which has no probability."""
    return None if probability is None else round(probability, 4)


@cache
def _first_item(dataset: str, changed: int | None) -> student_model.Example:
    """A data set's first item; if its instances are not here (`changed` is None), or have no images, as those of a
    corpus in shards, one that shows the format. The text of an item without classes is a caption, and no question."""
    import polars as pl

    rows = [] if changed is None else pl.scan_parquet(layout.instances(dataset)).head(1).collect().to_dicts()
    for row in rows:
        if row["image_path"]:
            text = row["text"] if _class_names(dataset) else ""
            return student_model.Example(row["image_path"], text, tuple(row.get("choices") or ()))
    return student_model.Example()


def evaluated_dataset(run_folder: Path, evaluation_set: str) -> str | None:
    """The data set of an extra evaluation; None for an evaluation set of the run's data set."""
    path = layout.run_config(run_folder)
    config = run_yaml.parse(path.read_text(encoding="utf-8")) if path.is_file() else {}
    extra = ((config or {}).get("dataset") or {}).get("extra_evals") or {}
    return (extra.get(evaluation_set) or {}).get("dataset")


def _sampled_sets(record: Record) -> list[str]:
    """The test set, or else the first one."""
    sets = sorted(path.stem for path in record.sources if path.parent.name == "predictions")
    return ["test"] if "test" in sets else sets[:1]


def _class_names(dataset: str) -> dict[int, str]:
    path = layout.labels(dataset)
    return dict(enumerate(files.read_json(path, kind=list))) if path.is_file() else {}


@cache
def _rank(instance_id: str) -> str:
    return hashlib.sha256(instance_id.encode()).hexdigest()
