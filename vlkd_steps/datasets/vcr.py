"""The official VCR v1 format (https://visualcommonsense.com), checked record by record.

Texts are lists of tokens in which a list of whole numbers refers to `objects`. Every record has a
metadata file whose `boxes` and `segms` have one entry per object (PAPERS 4). Test files have no labels.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vlkd_steps.datasets import records

CHOICES = 4
LABELS = ("answer_label", "rationale_label")
_CHOICES = ("answer_choices", "rationale_choices")
_STRINGS = ("img_fn", "metadata_fn", "img_id", "annot_id", "match_fold")


def validate(path: Path, images: Path, metadata: Path | None = None) -> int:
    """Check a VCR jsonl file with the images and metadata that it names.

    Args:
        path: e.g. ``train.jsonl``.
        images: the folder that `img_fn` is relative to.
        metadata: the folder that `metadata_fn` is relative to; None: `images`, as in the official zip.

    Returns:
        The number of annotations.

    Raises:
        UserError: the first record that is not in the official format, with file, line and field.
    """
    line_of: dict[str, int] = {}
    objects_of: dict[str, int] = {}
    labelled: bool | None = None
    for number, record in records.lines(path):
        where = f"line {number}"
        for name in _STRINGS:
            records.field(record, name, str, path, where)
        records.field(record, "match_index", int, path, where)
        annot_id = record["annot_id"]
        if line_of.setdefault(annot_id, number) != number:
            problem = f"{annot_id} stands already in line {line_of[annot_id]}"
            raise records.complaint(path, f"{where}.annot_id", problem, "ids must be unique")
        objects = records.field(record, "objects", list, path, where)
        for position, name in enumerate(objects):
            if type(name) is not str:
                raise records.complaint(path, f"{where}.objects[{position}]", "must be a string")
        _check_text(record, "question", len(objects), path, where)
        for name in _CHOICES:
            choices = records.field(record, name, list, path, where)
            if len(choices) != CHOICES:
                raise records.complaint(path, f"{where}.{name}", f"has {len(choices)} choices, not {CHOICES}")
            for position in range(CHOICES):
                _check_text(dict(enumerate(choices)), position, len(objects), path, f"{where}.{name}")
        has_labels = any(name in record for name in LABELS)
        if labelled is None:
            labelled = has_labels
        if labelled:
            _check_labels(record, path, where)
        elif has_labels:
            raise records.complaint(path, f"{where}.answer_label", "is given here but not in the lines before")
        _check_files(record, images, metadata or images, objects_of, path, where)
    if not line_of:
        raise records.complaint(path, "", "holds no annotation", "check `files` in the data set's conf")
    return len(line_of)


def _check_text(record: Mapping[Any, Any], name: str | int, objects: int, path: Path, where: str) -> None:
    """A non-empty list of words and of non-empty lists of indices into `objects`."""
    place = f"{where}.{name}" if isinstance(name, str) else f"{where}[{name}]"
    tokens = record.get(name)
    if type(tokens) is not list or not tokens:
        raise records.complaint(path, place, f"must be a list of tokens, not {json.dumps(tokens)[:60]}")
    for position, token in enumerate(tokens):
        if type(token) is str:
            continue
        if type(token) is not list or not token:
            raise records.complaint(path, f"{place}[{position}]", "must be a word or a list of object numbers")
        for index in token:
            if type(index) is not int or not 0 <= index < objects:
                problem = f"refers to object {json.dumps(index)[:20]}, but there are {objects} objects"
                raise records.complaint(path, f"{place}[{position}]", problem)


def _check_labels(record: dict[str, Any], path: Path, where: str) -> None:
    for name in LABELS:
        label = records.field(record, name, int, path, where)
        if not 0 <= label < CHOICES:
            raise records.complaint(path, f"{where}.{name}", f"is {label}, not one of 0 to {CHOICES - 1}")


def _check_files(
    record: dict[str, Any], images: Path, metadata: Path, objects_of: dict[str, int], path: Path, where: str
) -> None:
    """The image exists, and its metadata has one box per object; each metadata file is read once."""
    if not (images / record["img_fn"]).is_file():
        raise records.complaint(path, f"{where}.img_fn", f"the image {images / record['img_fn']} is missing")
    metadata_fn, objects = record["metadata_fn"], len(record["objects"])
    if metadata_fn not in objects_of:
        objects_of[metadata_fn] = _count_boxes(metadata / metadata_fn, path, f"{where}.metadata_fn")
    if objects_of[metadata_fn] != objects:
        problem = f"{metadata / metadata_fn} has {objects_of[metadata_fn]} boxes for {objects} objects"
        raise records.complaint(path, f"{where}.metadata_fn", problem)


def _count_boxes(metadata: Path, path: Path, where: str) -> int:
    if not metadata.is_file():
        raise records.complaint(path, where, f"the metadata {metadata} is missing")
    try:
        content = json.loads(records.read_text(metadata))
    except json.JSONDecodeError as error:
        raise records.complaint(metadata, f"line {error.lineno}", f"is not JSON ({error.msg})") from error
    if type(content) is not dict:
        raise records.complaint(metadata, "", "must be a JSON object")
    boxes = records.field(content, "boxes", list, metadata, "")
    segments = records.field(content, "segms", list, metadata, "")
    for number, box in enumerate(boxes):
        if type(box) is not list or len(box) != 5 or not all(type(value) in (int, float) for value in box):
            raise records.complaint(metadata, f"boxes[{number}]", "must be five numbers: x1, y1, x2, y2, score")
        if not (box[0] < box[2] and box[1] < box[3]):
            raise records.complaint(metadata, f"boxes[{number}]", f"{box[:4]} is empty: x1 < x2 and y1 < y2 are needed")
    if len(segments) != len(boxes):
        raise records.complaint(metadata, "segms", f"has {len(segments)} entries for {len(boxes)} boxes")
    return len(boxes)
