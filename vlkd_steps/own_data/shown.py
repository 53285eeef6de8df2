"""Items of a data set as the pipeline sees them: text for a terminal, and one HTML page with the images inside."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import polars as pl
import pyarrow as pa

from vlkd_steps import tasks
from vlkd_steps.core.errors import UserError
from vlkd_steps.reporting import gallery
from vlkd_steps.splits import domain_shift

TEMPLATES = Path(__file__).resolve().parent.parent / "templates"


@dataclass(frozen=True)
class Shown:
    """An item.

    Attributes:
        choices: the texts to choose among; empty where the task has none.
        annotated: what annotators said.
        learned: what a student is trained towards: classes with their scores, or a choice; empty: nothing.
        strata: by what low-shot subsets are stratified.
    """

    instance_id: str
    split: str
    image_id: str
    image_path: str
    question: str
    choices: tuple[str, ...]
    annotated: str
    learned: str
    strata: str


def frame(table: pa.Table) -> pl.DataFrame:
    """The instances table of a reader, as polars has it."""
    return pl.DataFrame(table)


def of_role(table: pl.DataFrame, dataset: Mapping[str, Any], role: str | None, sampled: bool) -> pl.DataFrame:
    """The rows of a role; without one, all.

    Args:
        sampled: the table is a sample, in which a role may be empty: then its whole split is taken.

    Raises:
        UserError: there is no such role.
    """
    if role is None:
        return table
    if role not in dataset["roles"]:
        raise UserError(f"{dataset['name']} has no role {role!r}; its roles are: {', '.join(dataset['roles'])}")
    try:
        return domain_shift.assign(table, dataset)[role]
    except UserError:
        if not sampled:
            raise
    return table.filter(pl.col("split") == dataset["roles"][role]["split"])


def chosen(table: pl.DataFrame, number: int) -> pl.DataFrame:
    """Up to `number` rows, evenly spaced."""
    places = np.linspace(0, len(table) - 1, min(number, len(table))).round().astype(int)
    return table[np.unique(places)]


def items(rows: pl.DataFrame, task_name: str, labels: Sequence[str]) -> list[Shown]:
    """Rows of the instances table as items to be shown."""
    task = tasks.load(task_name)
    found = []
    for row in rows.iter_rows(named=True):
        annotated = row["label"] is not None or row["answer_type"] or row["group"] or task.head == "written"
        strata = ", ".join(
            f"{name} {row[key]}" for name, key in (("type", "answer_type"), ("group", "group")) if row[key]
        )
        found.append(
            Shown(
                row["instance_id"], row["split"], row["image_id"], row["image_path"], task.question(row),
                tuple(row["choices"]), task.annotated(row) if annotated else "not annotated",
                _learned(row, task, labels), strata,
            )
        )  # fmt: skip
    return found


def _learned(row: Mapping[str, Any], task: tasks.Task, labels: Sequence[str]) -> str:
    if task.head == "written":
        return "the caption"
    if task.head == "choices":
        return f"choice {row['label'] + 1}" if row["label"] is not None else ""
    best = sorted(row["soft_labels"], key=lambda soft: (-soft["score"], soft["label"]))
    return ", ".join(f"{labels[soft['label']]} ({soft['score']:g})" for soft in best)


def text(shown: Sequence[Shown]) -> str:
    """The items for a terminal."""
    return "\n".join(line for number, item in enumerate(shown, 1) for line in _lines(item, number, len(shown)))


def _lines(item: Shown, number: int, of: int) -> list[str]:
    lines = [f"{number}/{of}  {item.instance_id}  split {item.split}", f"  image      {item.image_path or 'none'}"]
    lines.append(f"  question   {item.question}")
    lines += [f"  choice {n}   {choice}" for n, choice in enumerate(item.choices, 1)]
    lines.append(f"  annotated  {item.annotated}")
    lines.append(f"  learned    {item.learned or 'nothing: no class is its answer'}")
    return [*lines, *([f"  strata     {item.strata}"] if item.strata else []), ""]


def page(name: str, about: str, shown: Sequence[Shown], rows: pl.DataFrame) -> str:
    """One HTML page, complete in itself: thumbnails are within it.

    Args:
        about: what the items are, in a sentence.
        rows: of the items, in the same order.
    """
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True)
    of_items = [
        {"item": item, "image": gallery.inline_image(item.image_path) if item.image_path else None,
         "boxes": gallery.boxes(row["extra"], " ".join([row["text"], *item.choices]))}
        for item, row in zip(shown, rows.iter_rows(named=True), strict=True)
    ]  # fmt: skip
    return environment.get_template("show.html.j2").render(name=name, about=about, items=of_items)


def totals(table: pl.DataFrame, labels: Sequence[str]) -> str:
    """Rows, images and classes in a line."""
    splits = ", ".join(f"{split} {number}" for split, number in sorted(table["split"].value_counts().iter_rows()))
    images = table.filter(pl.col("image_path") != "")["image_id"].n_unique()
    known = [_number(len(table), "instance"), f"({splits})"]
    return ", ".join([" ".join(known), _number(images, "image"), *([_number(len(labels), "class")] if labels else [])])


def _number(count: int, what: str) -> str:
    return f"{count} {what}" + ("" if count == 1 else "es" if what.endswith("s") else "s")
