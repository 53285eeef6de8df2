"""Statements about images with their classes, from parquet files of Hugging Face's `datasets` (`hugging_face`).

Columns ``image, hypothesis, label`` and, where they exist, ``pair_id, image_id``. ``label`` is a class's name, or a
number, whose names are the conf's ``labels`` or, without them, those that `datasets` recorded in the file; -1, or
null, is no label.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pyarrow import types

from vlkd_steps.datasets import hugging_face, instances, snli_ve
from vlkd_steps.datasets.hugging_face import IDENTITY, IMAGE, TEXT, Column, Row, is_text
from vlkd_steps.datasets.instances import Instances
from vlkd_steps.datasets.tally import Tally

COLUMNS = {
    "image": IMAGE,
    "hypothesis": TEXT,
    "label": Column(lambda kind: types.is_integer(kind) or is_text(kind), "a class's name or number"),
    "pair_id": IDENTITY,
    "image_id": IDENTITY,
}
NO_LABEL = (None, -1, snli_ve.NO_CONSENSUS)


def read(dataset: Mapping[str, Any], folder: Path) -> Instances:
    """Read every split of a data set in this format.

    Args:
        dataset: the data set's conf: ``files`` {split: {parquet, images}}; optional ``columns`` and ``labels``.
        folder: the source's raw folder.

    Raises:
        UserError: as `hugging_face.rows`, or a label that is no class.
    """
    classes, tables, counts = snli_ve.classes(dataset), {}, {}
    read_files: set[Path] = set()
    for split in sorted(dataset["files"]):
        paths = dataset["files"][split]
        tally = Tally.of(dataset, split)
        images = hugging_face.Images(dataset, paths, folder)
        columns: dict[str, list[str]] = {name: [] for name in ("instance_id", "image_id", "image_path", "text")}
        golds: list[str] = []
        names: dict[Path, list[str]] = {}
        for row in hugging_face.rows(dataset, paths, folder, COLUMNS):
            read_files.add(row.path)
            if row.path not in names:
                names[row.path] = dataset.get("labels") or hugging_face.class_names(row.path, row.named["label"])
            if row.values["label"] in NO_LABEL:
                tally.leave_out("without label")
                continue
            gold = _class(row, names[row.path], classes)
            with tally.record():
                text, identity = row.text("hypothesis"), row.identity("pair_id", split)
                for name, value in zip(columns, (identity, *images.of(row, identity), text), strict=True):
                    columns[name].append(value)
                golds.append(gold)
        more = {"extra": ["{}"] * len(golds), **snli_ve.label_columns(golds, classes)}
        tables[split] = instances.table({**columns, **more}, split)
        counts[split] = tally.close(len(tables[split]))
    return Instances(instances.join(tables), classes, counts, frozenset(read_files))


def _class(row: Row, names: list[str], classes: list[str]) -> str:
    """The name of a row's class.

    Raises:
        UserError: it is none, or a number without a name.
    """
    value = row.values["label"]
    if type(value) is int:
        if not 0 <= value < len(names):
            known = f"which is not among {', '.join(names)}" if names else "and the file does not name the classes"
            raise row.complaint(
                "label", f"is {value}, {known}", "name them in order by `labels` in the data set's conf"
            )
        value = names[value]
    if value not in classes:
        raise row.complaint("label", f"is {value!r}, not one of {', '.join(classes)}", "write `labels` in the conf")
    return str(value)
