"""A small part of a user's data, prepared: what `vlkd show` shows before anything was downloaded.

Files in the official formats are read whole, with all their checks, and some of the instances kept. Of Parquet files
with images inside, the first rows are unpacked.
"""

import contextlib
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from vlkd_steps.core import components, files, inside, layout
from vlkd_steps.core.errors import UserError
from vlkd_steps.datasets import instances
from vlkd_steps.datasets.instances import Instances
from vlkd_steps.sources import archive, parquet_images

ITEMS = 100
LIMIT = 4 << 30  # bytes of unpacked images
CONF = "dataset.json"
"""The data set's conf as it was when the sample was read."""
RECORDS = "records.json"
"""The files of records as they were then: path -> size in bytes and time of the last change in ns."""
NOT_READ = ("roles", "evaluation_sets", "sizes", "allow_leaks", "max_skipped", "visual_words")
"""Keys of a conf that no reader reads."""


def prepare(dataset: Mapping[str, Any], folder: Path, unpack: bool, items: int = ITEMS) -> Instances:
    """Read a data set's files where they are, and write some of its instances to ``data/samples/<name>``.

    Args:
        unpack: Parquet files have the images inside, so that only their first rows are read.

    Returns:
        What was read: all of it, or the first rows.

    Raises:
        UserError: a file that is not in its format, as in `prepare`, or the folder cannot be emptied.
    """
    target = emptied(dataset["name"])
    files.write_json(target / CONF, dataset)
    files.write_json(target / RECORDS, records_of(dataset, folder))
    if unpack:
        _unpack(dataset, folder, target, items)
        if dataset.get("vocabulary"):  # the first rows alone hold too few of each answer
            dataset = {**dataset, "vocabulary": {**dataset["vocabulary"], "minimum": 1}}
    made: Instances = components.load("reader", dataset["reader"]).read(dataset, target if unpack else folder)
    instances.check_images(made.table, lambda path: files.sha256(Path(path)))
    places = np.unique(np.linspace(0, len(made.table) - 1, min(items, len(made.table))).round().astype(int))
    instances.write(made.table.take(pa.array(places)), target / "instances.parquet", "", counts=made.counts)
    files.write_json(target / "labels.json", made.labels)
    return made


def emptied(name: str) -> Path:
    """The folder of a data set's sample, made anew without what was in it.

    Raises:
        UserError: something else has its name, or it cannot be removed or made.
    """
    target = layout.sample(name)
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        what = "a link" if target.is_symlink() else "a file"
        raise UserError(f"{target} is {what}, and the sample's folder is to be there; delete it, then try again")
    try:
        if target.exists():
            shutil.rmtree(target)
        target.mkdir(parents=True)
    except OSError as error:
        raise UserError(f"{target} cannot be made anew ({error}); delete it, or allow access to it") from error
    return target


def tried(name: str) -> bool:
    """Whether a sample of a data set was read, or could not be, as its file or the data were wrong."""
    return (layout.sample(name) / CONF).is_file()


def readable(source: Mapping[str, Any]) -> bool:
    """Whether a sample can be read where a source's files are: the user has them, and not in a zip."""
    return source["kind"] == "local" and all(map(is_table, source.get("unpack", ())))


def is_table(path: str) -> bool:
    """Whether a name or pattern is of Parquet files."""
    return path.lower().endswith(archive.TABLE)


def outdated(dataset: Mapping[str, Any]) -> list[str]:
    """The keys of a data set's conf that were changed after its sample was read, and decide what the items are."""
    then = files.known_json(layout.sample(dataset["name"]) / CONF)
    if not then:
        return []  # read by an earlier version, which did not keep it
    read = (then.keys() | dataset.keys()) - {*NOT_READ}
    return sorted(key for key in read if then.get(key) != dataset.get(key))


def records_of(dataset: Mapping[str, Any], folder: Path) -> dict[str, list[int]]:
    """By its path relative to `folder`, the size in bytes of each file of records and when it was changed, in ns."""
    found = {}
    named = [(key, name) for paths in dataset.get("files", {}).values() for key, name in paths.items()]
    for key, name in named:
        if inside.fault(name):  # a list of parts, or what the reader complains of
            continue
        with contextlib.suppress(OSError):
            for path in folder.glob(name) if key == "parquet" else [folder / name]:
                if path.is_file():
                    found[path.relative_to(folder).as_posix()] = [path.stat().st_size, path.stat().st_mtime_ns]
    return found


def corrected(dataset: Mapping[str, Any], folder: Path) -> list[str]:
    """The files of records that were changed, added or removed after the sample was read; none if `folder` is gone."""
    then = files.known_json(layout.sample(dataset["name"]) / RECORDS)
    if not then or not folder.is_dir():
        return []
    now = records_of(dataset, folder)
    return sorted(path for path in then.keys() | now.keys() if then.get(path) != now.get(path))


def _unpack(dataset: Mapping[str, Any], folder: Path, target: Path, items: int) -> None:
    each = -(-items // len(dataset["files"]))
    for paths in dataset["files"].values():
        left = each
        for path in sorted(folder.glob(paths["parquet"])):
            if left > 0:
                left -= parquet_images.unpack(path, target, path.relative_to(folder).as_posix(), LIMIT, left)
