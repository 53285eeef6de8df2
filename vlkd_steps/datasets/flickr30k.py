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
from vlkd_steps.datasets.tally import Tally, Unusable


def read(dataset: Mapping[str, Any], folder: Path) -> Instances:
    """Read every split of a caption data set.

    Args:
        dataset: the data set's conf: ``files`` {split: {captions, images, ids}}; without ``ids`` the whole file.
        folder: the source's raw folder.

    Raises:
        UserError: a line that is not as described above, or a listed image without captions.
    """
    tables, counts = {}, {}
    for split in sorted(dataset["files"]):
        paths = dataset["files"][split]
        path = folder / paths["captions"]
        wanted = _listed(folder / paths["ids"]) if paths.get("ids") else None
        images = image_files.of(dataset, paths, folder)
        line_of: dict[str, int] = {}
        seen: set[str] = set()
        columns: dict[str, list[str]] = {key: [] for key in ("instance_id", "image_id", "image_path", "text", "extra")}
        tally = Tally.of(dataset, split)
        # Not splitlines: a caption may hold U+2028 and other characters that it takes for line ends.
        for number, line in enumerate(records.read_text(path).split("\n"), start=1):
            if not line.strip():
                continue
            where = f"line {number}"
            records.check_line_end(line, path, where)
            caption_id, tab, text = line.partition("\t")
            file_name, mark, index = caption_id.partition("#")
            malformed = (
                f"must be an image's name, # and a number, a tab and a caption, not {line[:60]!r}",
                "see docs/own_data.md for the format",
            )
            if not (tab and mark and index.isdecimal() and index.isascii() and file_name):
                raise records.complaint(path, where, *malformed)
            image_id = file_name.removesuffix(".jpg")
            if wanted is not None and image_id not in wanted:
                tally.leave_out("of other images than those in ids")
                continue
            if line_of.setdefault(caption_id, number) != number:
                problem = f"{caption_id} already appears in line {line_of[caption_id]}"
                raise records.complaint(path, where, problem, "ids must be unique")
            with tally.record():
                if not (text := " ".join(text.split())):
                    raise Unusable("text is empty", path, where, *malformed)
                image_path = images.path(file_name, path, where)
                for key, value in zip(columns, (caption_id, image_id, image_path, text, "{}"), strict=True):
                    columns[key].append(value)
            seen.add(image_id)
        if wanted is not None and (missing := sorted(wanted - seen)):
            problem = f"{len(missing)} of {len(wanted)} images have no caption in {path}, {missing[0]} first"
            raise records.complaint(folder / paths["ids"], "", problem, "use the files of one release")
        tables[split] = instances.table(dict(columns), split)
        counts[split] = tally.close(len(tables[split]))
    return Instances(instances.join(tables), [], counts)


def _listed(path: Path) -> set[str]:
    found = set()
    for number, line in enumerate(records.read_text(path).split("\n"), start=1):
        records.check_line_end(line, path, f"line {number}")
        found.add(line.strip().removesuffix(".jpg"))
    return found - {""}
