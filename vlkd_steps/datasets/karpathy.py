"""Karpathy's ``dataset_coco.json`` and ``dataset_flickr30k.json``: captions with their splits.

``{images: [{filename, filepath?, split, imgid, cocoid?, sentences: [{raw, sentid}]}]}``, with the splits ``train``,
``restval`` (usually added to train), ``val`` and ``test``. One instance per caption, no classes.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vlkd_steps.core import records
from vlkd_steps.core.errors import UserError
from vlkd_steps.datasets import image_files, instances
from vlkd_steps.datasets.instances import Instances


def read(dataset: Mapping[str, Any], folder: Path) -> Instances:
    """Read every split of a caption data set.

    Args:
        dataset: the data set's conf: ``files`` {split: {captions, images, parts}}, where ``parts`` are Karpathy's names
            of the splits that it holds, e.g. [train, restval].
        folder: the source's raw folder.

    Raises:
        UserError: a file that is not in this format, with file, record and field, or a split that is empty.
    """
    tables = {}
    read_files: dict[str, list[tuple[str, dict[str, Any]]]] = {}
    for split in sorted(dataset["files"]):
        paths = dataset["files"][split]
        name, path = paths["captions"], folder / paths["captions"]
        if name not in read_files:  # one file holds all splits
            read_files[name] = [(f"images[{n}]", record) for n, record in enumerate(records.array(path, "images"))]
        images = image_files.of(dataset, paths, folder)
        columns: dict[str, list[str]] = {key: [] for key in ("instance_id", "image_id", "image_path", "text", "extra")}
        for where, record in read_files[name]:
            if records.field(record, "split", str, path, where) not in paths["parts"]:
                continue
            file_name = records.field(record, "filename", str, path, where)
            file_path = f"{record['filepath']}/{file_name}" if record.get("filepath") else file_name
            image_id = str(records.field(record, "cocoid" if "cocoid" in record else "imgid", int, path, where))
            image_path = images.path(file_path, path, f"{where}.filename")
            for number, sentence in enumerate(records.field(record, "sentences", list, path, where)):
                item = f"{where}.sentences[{number}]"
                text = " ".join(records.field(sentence, "raw", str, path, item).split())
                if not text:
                    raise records.complaint(path, f"{item}.raw", "is empty")
                sentence_id = str(records.field(sentence, "sentid", int, path, item))
                for key, value in zip(columns, (sentence_id, image_id, image_path, text, "{}"), strict=True):
                    columns[key].append(value)
        if not columns["instance_id"]:
            raise UserError(
                f"data set {dataset['name']}: {path} has no captions of {', '.join(paths['parts'])}; "
                f"correct files.{split}.parts"
            )
        tables[split] = instances.table(dict(columns), split)
    return Instances(instances.join(tables), [])
