"""Flickr30k's captions, ``results_20130124.token``: lines of ``<id>.jpg#<0-4><TAB>caption``.

The official file has no splits; lists of image ids, one per line, divide it (Flickr30k Entities' train.txt, val.txt
and test.txt). One instance per caption, no classes.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vlkd_steps.core import records
from vlkd_steps.datasets import image_files, instances
from vlkd_steps.datasets.instances import Instances


def read(dataset: Mapping[str, Any], folder: Path) -> Instances:
    """Read every split of a caption data set.

    Args:
        dataset: the data set's conf: ``files`` {split: {captions, images, ids}}; without ``ids`` the whole file.
        folder: the source's raw folder.

    Raises:
        UserError: a line that is not as described above, or a listed image without captions.
    """
    tables = {}
    for split in sorted(dataset["files"]):
        paths = dataset["files"][split]
        path = folder / paths["captions"]
        wanted = _listed(folder / paths["ids"]) if paths.get("ids") else None
        images = image_files.of(dataset, paths, folder)
        line_of: dict[str, int] = {}
        columns: dict[str, list[str]] = {key: [] for key in ("instance_id", "image_id", "image_path", "text", "extra")}
        for number, line in enumerate(records.read_text(path).splitlines(), start=1):
            if not line.strip():
                continue
            where = f"line {number}"
            caption_id, tab, text = line.partition("\t")
            file_name, mark, index = caption_id.partition("#")
            text = " ".join(text.split())
            if not (tab and mark and index.isdigit() and file_name and text):
                problem = f"must be an image's name, # and a number, a tab and a caption, not {line[:60]!r}"
                raise records.complaint(path, where, problem, "see docs/own_data.md for the format")
            image_id = file_name.removesuffix(".jpg")
            if wanted is not None and image_id not in wanted:
                continue
            if line_of.setdefault(caption_id, number) != number:
                problem = f"{caption_id} already appears in line {line_of[caption_id]}"
                raise records.complaint(path, where, problem, "ids must be unique")
            image_path = images.path(file_name, path, where)
            for key, value in zip(columns, (caption_id, image_id, image_path, text, "{}"), strict=True):
                columns[key].append(value)
        if wanted is not None and (missing := sorted(wanted - set(columns["image_id"]))):
            problem = f"{len(missing)} of {len(wanted)} images have no caption in {path}, {missing[0]} first"
            raise records.complaint(folder / paths["ids"], "", problem, "use the files of one release")
        if not line_of:
            raise records.complaint(path, "", "holds no caption", "check `files` in the data set's conf")
        tables[split] = instances.table(dict(columns), split)
    return Instances(instances.join(tables), [])


def _listed(path: Path) -> set[str]:
    return {line.strip().removesuffix(".jpg") for line in records.read_text(path).splitlines() if line.strip()}
