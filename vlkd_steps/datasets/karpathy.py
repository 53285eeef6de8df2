"""Karpathy's ``dataset_coco.json`` and ``dataset_flickr30k.json``: captions with their splits.

``{images: [{filename, filepath?, split, imgid, cocoid?, sentences: [{raw, sentid}]}]}``, with the splits ``train``,
``restval`` (usually added to train), ``val`` and ``test``. One instance per caption, no classes.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vlkd_steps.core import records
from vlkd_steps.datasets import image_files, instances
from vlkd_steps.datasets.instances import Instances
from vlkd_steps.datasets.tally import NO_CAPTIONS, Tally, sentence

SPLITS = ("train", "restval", "val", "test")


def read(dataset: Mapping[str, Any], folder: Path) -> Instances:
    """Read every split of a caption data set.

    Args:
        dataset: the data set's conf: ``files`` {split: {captions, images, parts}}, where ``parts`` are Karpathy's names
            of the splits that it holds, e.g. [train, restval].
        folder: the source's raw folder.

    Raises:
        UserError: a file that is not in this format, with file, record and field, a split that is neither Karpathy's
            nor one of ``parts``, or one that is empty.
    """
    tables, counts = {}, {}
    known = {*SPLITS, *(part for paths in dataset["files"].values() for part in paths["parts"])}
    read_files: dict[str, list[tuple[str, dict[str, Any]]]] = {}
    for split in sorted(dataset["files"]):
        paths = dataset["files"][split]
        name, path = paths["captions"], folder / paths["captions"]
        if name not in read_files:  # one file holds all splits
            read_files[name] = [(f"images[{n}]", record) for n, record in enumerate(records.array(path, "images"))]
        images = image_files.of(dataset, paths, folder)
        columns: dict[str, list[str]] = {key: [] for key in ("instance_id", "image_id", "image_path", "text", "extra")}
        tally = Tally.of(dataset, split)
        sentence_of: dict[str, str] = {}
        image_of: dict[str, str] = {}
        for where, record in read_files[name]:
            part = records.field(record, "split", str, path, where)
            if part not in known:
                problem = f"is {part!r}, not one of {', '.join(sorted(known))}"
                raise records.complaint(path, f"{where}.split", problem, "correct it, or add it to `parts` in the conf")
            if part not in paths["parts"]:
                continue
            file_name = records.field(record, "filename", str, path, where)
            file_path = f"{record['filepath']}/{file_name}" if record.get("filepath") else file_name
            id_name = "cocoid" if "cocoid" in record else "imgid"
            image_id = str(records.field(record, id_name, int, path, where))
            if image_of.setdefault(image_id, where) != where:
                problem = f"{image_id} already appears in {image_of[image_id]}"
                raise records.complaint(path, f"{where}.{id_name}", problem, "ids must be unique")
            sentences = records.field(record, "sentences", list, path, where)
            if not sentences:
                tally.leave_out(NO_CAPTIONS)
            for number, given in enumerate(sentences):
                item = f"{where}.sentences[{number}]"
                if type(given) is not dict:
                    raise records.complaint(path, item, "must be an object with raw and sentid")
                sentence_id = str(records.field(given, "sentid", int, path, item))
                if sentence_of.setdefault(sentence_id, item) != item:
                    problem = f"{sentence_id} already appears in {sentence_of[sentence_id]}"
                    raise records.complaint(path, f"{item}.sentid", problem, "ids must be unique")
                with tally.record():
                    text = sentence(given, "raw", path, item)
                    image_path = images.path(file_path, path, f"{where}.filename")
                    for key, value in zip(columns, (sentence_id, image_id, image_path, text, "{}"), strict=True):
                        columns[key].append(value)
        tables[split] = instances.table(dict(columns), split)
        counts[split] = tally.close(len(tables[split]))
    return Instances(instances.join(tables), [], counts)
