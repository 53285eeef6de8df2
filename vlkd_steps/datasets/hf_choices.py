"""Questions with four answers and four rationales, from parquet files of Hugging Face's `datasets` (`hugging_face`).

Columns ``image, question, answer_choices, answer_label, rationale_choices, rationale_label`` and, where they exist,
``annot_id, image_id``. Texts are plain ("person 1 smiles"): objects, boxes and references to them are in the official
format alone (`vcr`), so no student that sees their regions, and no shifted set, can be made of these.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pyarrow import types

from vlkd_steps.datasets import hugging_face, instances, vcr
from vlkd_steps.datasets.hugging_face import IDENTITY, IMAGE, TEXT, Column, Row, is_texts
from vlkd_steps.datasets.instances import Instances
from vlkd_steps.datasets.tally import Tally, Unusable, sentence

CHOICES = Column(is_texts, "a list of texts")
LABEL = Column(types.is_integer, "a whole number")
COLUMNS = {
    "image": IMAGE,
    "question": TEXT,
    "answer_choices": CHOICES,
    "answer_label": LABEL,
    "rationale_choices": CHOICES,
    "rationale_label": LABEL,
    "annot_id": IDENTITY,
    "image_id": IDENTITY,
}


def read(dataset: Mapping[str, Any], folder: Path) -> Instances:
    """Read every split of a data set in this format.

    Args:
        dataset: the data set's conf: ``files`` {split: {parquet, images}}; optional ``columns``.
        folder: the source's raw folder.

    Raises:
        UserError: as `hugging_face.rows`; not four choices, or a label that is none of them.
    """
    tables, counts = {}, {}
    read_files: set[Path] = set()
    for split in sorted(dataset["files"]):
        paths = dataset["files"][split]
        tally = Tally.of(dataset, split)
        images = hugging_face.Images(dataset, paths, folder)
        made: list[tuple[Any, ...]] = []
        for row in hugging_face.rows(dataset, paths, folder, COLUMNS):
            read_files.add(row.path)
            with tally.record():
                made += vcr.rows(_annotation(row, split, images), "")
        tables[split] = instances.table(vcr.columns_of(made), split)
        counts[split] = tally.close(len(tables[split]))
    return Instances(instances.join(tables), vcr.CLASSES, counts, frozenset(read_files))


def _annotation(row: Row, split: str, images: hugging_face.Images) -> vcr.Annotation:
    """A row as a line of a VCR file."""
    identity = row.identity("annot_id", split)
    record: dict[str, Any] = {"annot_id": identity, "objects": [], "question": row.text("question").split()}
    for kind in ("answer", "rationale"):
        record[f"{kind}_choices"] = _choices(row, f"{kind}_choices")
        label = record[f"{kind}_label"] = row.values[f"{kind}_label"]
        if label is None or not 0 <= label < vcr.CHOICES:
            shown = "null" if label is None else label
            raise row.complaint(f"{kind}_label", f"is {shown}, not one of 0 to {vcr.CHOICES - 1}")
    record["img_id"], image = images.of(row, identity)
    return vcr.Annotation(record, vcr.Scene([], None, None), image)


def _choices(row: Row, column: str) -> list[list[str]]:
    given = row.values[column]
    if given is None:
        raise Unusable("text is null", row.path, row.where(column), "is null")
    if len(given) != vcr.CHOICES:
        raise row.complaint(column, f"has {len(given)} choices, not {vcr.CHOICES}")
    return [sentence({n: text}, n, row.path, row.where(column)).split() for n, text in enumerate(given)]  # type: ignore[arg-type,dict-item]
