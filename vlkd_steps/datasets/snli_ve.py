"""SNLI-VE (https://github.com/necla-ml/SNLI-VE): an image, a hypothesis, three classes. JSON lines.

The hypothesis is `sentence2`; `sentence1` is the caption that the image stands in for and is never used
(PAPERS 4). The image key is `Flickr30K_ID`, in older files `Flikr30kID`; both are read.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from vlkd_steps.datasets import instances, records
from vlkd_steps.datasets.image_files import ImageFolder
from vlkd_steps.datasets.instances import SOFT_LABEL, Instances
from vlkd_steps.step import log

LABELS = ["contradiction", "entailment", "neutral"]
"""The classes in UNITER's order (PAPERS 3)."""

IMAGE_KEYS = ("Flickr30K_ID", "Flikr30kID")
NO_CONSENSUS = "-"
"""SNLI's mark for a pair that annotators disagreed on. SNLI-VE has left them out; other files may not have."""


def read(dataset: Mapping[str, Any], folder: Path) -> Instances:
    """Read every split of a data set in this format.

    Args:
        dataset: the data set's conf: ``files`` {split: {pairs, images}} and ``image_name``.
        folder: the source's raw folder.

    Raises:
        UserError: a file that is not in the official format, with file, line and field.
    """
    tables = {}
    for split in sorted(dataset["files"]):
        paths = dataset["files"][split]
        images = ImageFolder(folder / paths["images"] if paths.get("images") else None)
        tables[split] = instances.table(_columns(folder / paths["pairs"], images, dataset), split)
    return Instances(instances.join(tables), LABELS)


def _columns(path: Path, images: ImageFolder, dataset: Mapping[str, Any]) -> dict[str, Any]:
    line_of: dict[str, int] = {}
    image_ids: list[str] = []
    image_paths: list[str] = []
    texts: list[str] = []
    labels: list[int] = []
    undecided = 0
    for number, record in records.lines(path):
        where = f"line {number}"
        pair_id = records.field(record, "pairID", str, path, where)
        gold = records.field(record, "gold_label", str, path, where)
        if gold == NO_CONSENSUS:
            undecided += 1
            continue
        if gold not in LABELS:
            raise records.complaint(path, f"{where}.gold_label", f"is {gold!r}, not one of {', '.join(LABELS)}")
        if line_of.setdefault(pair_id, number) != number:
            problem = f"{pair_id} stands already in line {line_of[pair_id]}"
            raise records.complaint(path, f"{where}.pairID", problem, "ids must be unique")
        text = " ".join(records.field(record, "sentence2", str, path, where).split())
        if not text:
            raise records.complaint(path, f"{where}.sentence2", "is empty")
        key = IMAGE_KEYS[1] if IMAGE_KEYS[1] in record else IMAGE_KEYS[0]
        image_id = records.field(record, key, str, path, where).removesuffix(".jpg")
        if images.folder is not None:
            (name,) = images.names(dataset["image_name"], [image_id])
            image_paths.append(images.path(name, path, f"{where}.{key}"))
        image_ids.append(image_id)
        texts.append(text)
        labels.append(LABELS.index(gold))
    if not labels:
        raise records.complaint(path, "", "holds no labelled pair", "check `files` in the data set's conf")
    if undecided:
        log.info("%s: %d pairs without consensus (gold_label '-') left out", path, undecided)
    return {
        "instance_id": list(line_of),
        "image_id": image_ids,
        "image_path": image_paths or None,
        "text": texts,
        "label": labels,
        "soft_labels": pa.array([[{"label": label, "score": 1.0}] for label in labels], pa.list_(SOFT_LABEL)),
        "group": [LABELS[label] for label in labels],
        "extra": ["{}"] * len(labels),
    }
