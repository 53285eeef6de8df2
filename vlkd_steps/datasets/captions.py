"""COCO captions (https://cocodataset.org): ``{images: [{id, file_name}], annotations: [{id, image_id, caption}]}``.

Also NoCaps, whose images name their `domain`. One instance per caption. Captions have no classes:
`label` is null and the list of labels empty.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vlkd_steps.core import records
from vlkd_steps.datasets import image_files, instances
from vlkd_steps.datasets.image_files import ImageFolder
from vlkd_steps.datasets.instances import Instances
from vlkd_steps.datasets.tally import NO_CAPTIONS, Tally, sentence


def read(dataset: Mapping[str, Any], folder: Path) -> Instances:
    """Read every split of a caption data set.

    Args:
        dataset: the data set's conf: ``files`` {split: {captions, images}}; optional ``group``, the field of an
            image's record that becomes the column `group` (NoCaps: ``domain``).
        folder: the source's raw folder.

    Raises:
        UserError: a file that is not in the official format, with file, record and field.
    """
    tables, counts = {}, {}
    for split in sorted(dataset["files"]):
        paths = dataset["files"][split]
        images = image_files.of(dataset, paths, folder)
        tally = Tally.of(dataset, split)
        columns = _columns(folder / paths["captions"], images, dataset.get("group"), tally)
        tables[split] = instances.table(columns, split)
        counts[split] = tally.close(len(tables[split]))
    return Instances(instances.join(tables), [], counts)


def _columns(path: Path, images: ImageFolder, group: str | None, tally: Tally) -> dict[str, Any]:
    file_names, groups = _file_names(path, group)
    paths = {}
    number_of: dict[int, int] = {}
    captioned: set[int] = set()
    ids: list[str] = []
    image_ids: list[int] = []
    texts: list[str] = []
    for number, record in enumerate(records.array(path, "annotations")):
        where = f"annotations[{number}]"
        caption_id = records.field(record, "id", int, path, where)
        if number_of.setdefault(caption_id, number) != number:
            problem = f"{caption_id} already appears in annotations[{number_of[caption_id]}]"
            raise records.complaint(path, f"{where}.id", problem, "ids must be unique")
        image_id = records.field(record, "image_id", int, path, where)
        if image_id not in file_names:
            raise records.complaint(path, f"{where}.image_id", f"{image_id} is not among `images`")
        captioned.add(image_id)
        with tally.record():
            text = sentence(record, "caption", path, where)
            if image_id not in paths:
                field, name = file_names[image_id]
                paths[image_id] = images.path(name, path, field)
            ids.append(str(caption_id))
            image_ids.append(image_id)
            texts.append(text)
    if without := len(file_names.keys() - captioned):
        tally.leave_out(NO_CAPTIONS, without)
    return {
        "instance_id": ids,
        "image_id": [str(image_id) for image_id in image_ids],
        "image_path": [paths[image_id] for image_id in image_ids],
        "text": texts,
        "group": [groups[image_id] for image_id in image_ids] if group else None,
        "extra": ["{}"] * len(texts),
    }


def _file_names(path: Path, group: str | None) -> tuple[dict[int, tuple[str, str]], dict[int, str]]:
    """Image id -> (the field of its file name, that name), and image id -> its field `group`."""
    file_names: dict[int, tuple[str, str]] = {}
    groups: dict[int, str] = {}
    for number, record in enumerate(records.array(path, "images")):
        where = f"images[{number}]"
        image_id = records.field(record, "id", int, path, where)
        if image_id in file_names:
            problem = f"{image_id} already appears in {file_names[image_id][0].removesuffix('.file_name')}"
            raise records.complaint(path, f"{where}.id", problem, "ids must be unique")
        file_names[image_id] = (f"{where}.file_name", records.field(record, "file_name", str, path, where))
        if group:
            groups[image_id] = records.field(record, group, str, path, where)
    return file_names, groups
