"""Captions of images, from parquet files of Hugging Face's `datasets` (`hugging_face`).

Columns ``image, caption`` and, where it exists, ``image_id``. ``caption`` is a text or a list of texts, the captions of
one image. One instance per caption, no classes.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vlkd_steps.datasets import hugging_face, instances
from vlkd_steps.datasets.hugging_face import IDENTITY, IMAGE, Column, is_text, is_texts
from vlkd_steps.datasets.instances import Instances
from vlkd_steps.datasets.tally import Tally, Unusable, sentence

COLUMNS = {
    "image": IMAGE,
    "caption": Column(lambda kind: is_text(kind) or is_texts(kind), "text or a list of texts"),
    "image_id": IDENTITY,
}


def read(dataset: Mapping[str, Any], folder: Path) -> Instances:
    """Read every split of a data set in this format.

    Args:
        dataset: the data set's conf: ``files`` {split: {parquet, images}}; optional ``columns``.
        folder: the source's raw folder.

    Raises:
        UserError: as `hugging_face.rows`.
    """
    tables, counts = {}, {}
    read_files: set[Path] = set()
    for split in sorted(dataset["files"]):
        paths = dataset["files"][split]
        tally = Tally.of(dataset, split)
        images = hugging_face.Images(dataset, paths, folder)
        columns: dict[str, list[str]] = {key: [] for key in ("instance_id", "image_id", "image_path", "text", "extra")}
        for row in hugging_face.rows(dataset, paths, folder, COLUMNS):
            read_files.add(row.path)
            given = row.values["caption"]
            where = row.where("caption")
            captions = (given or [""]) if isinstance(given, list) else [given]  # a row without any is counted
            for number, caption in enumerate(captions):
                with tally.record():
                    if caption is None:
                        raise Unusable("text is null", row.path, where, "is null")
                    text = sentence({str(number): caption}, str(number), row.path, where)
                    identity = f"{split}-{row.place}-{number}"
                    for key, value in zip(columns, (identity, *images.of(row, identity), text, "{}"), strict=True):
                        columns[key].append(value)
        tables[split] = instances.table(dict(columns), split)
        counts[split] = tally.close(len(tables[split]))
    return Instances(instances.join(tables), [], counts, frozenset(read_files))
