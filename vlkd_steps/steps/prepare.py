"""Read a data set's official files, check every record, and write its instances and its classes.

The data set's ``reader`` names the module of `vlkd_steps/datasets/` for its format.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from vlkd_steps.core import checksums, components, files, inside, layout, step
from vlkd_steps.core.errors import UserError
from vlkd_steps.datasets import instances, tally
from vlkd_steps.sources import manifest
from vlkd_steps.splits import near_images

NO_PATHS = ("rule", "share", "cues", "parts")
NO_FILES = ("images", "metadata", "parquet", *NO_PATHS)
"""Keys of an entry in a conf's `files` that are not files of records: folders, patterns, and how they form a split."""


@step.entry
def main(argv: Sequence[str] | None = None) -> int:
    dataset = step.configuration(argv, __doc__)["dataset"]
    name, reader = dataset["name"], dataset["reader"]
    try:
        module = components.load("reader", reader)
    except UserError as error:
        raise UserError(f"data set {name!r}: {error}") from error
    check_paths(dataset)
    hashes = manifest.read(dataset["source"])
    for relative in official_files(dataset):
        manifest.check(dataset["source"], relative, hashes)
    folder = layout.raw(dataset["source"])
    made = module.read(dataset, folder)
    for path in sorted(made.read):
        manifest.check(dataset["source"], path.relative_to(folder).as_posix(), hashes)
    holder = dataset.get("image_source") or dataset["source"]
    of_images = hashes if holder == dataset["source"] else manifest.read(holder)
    named = named_images(made.table, holder, of_images)
    raw = layout.raw(holder)
    instances.check_images(made.table, lambda path: named[Path(path).relative_to(raw).as_posix()])
    groups = near(made.table, holder, named)
    instances.write(made.table, layout.instances(name), files.digest(named), groups, made.counts)
    files.write_json(layout.labels(name), made.labels)
    checksums.write(layout.instances_checksums(name), [layout.instances(name), layout.labels(name)])
    counts = sorted((row["values"], row["counts"]) for row in pc.value_counts(made.table["split"]).to_pylist())
    splits = ", ".join(f"{split} {count}" for split, count in counts)
    for part, counted in sorted(made.counts.items()):
        step.log.info("[prepare %s] %s: %s", name, part, tally.line(counted))
    step.log.info("[prepare %s] %d instances (%s), %d classes", name, len(made.table), splits, len(made.labels))
    return 0


def check_paths(dataset: Mapping[str, Any]) -> None:
    """Refuse a conf with files or folders outside the raw folder, before its reader uses them.

    Raises:
        UserError: a path leaves it.
    """
    named = {f"files.{split}.{role}": path for split, paths in dataset["files"].items() for role, path in paths.items()}
    named |= {key: dataset.get(key) for key in ("shards", "tsv", "images")}
    of_images = dataset.get("image_source") or dataset["source"]
    for key, path in named.items():
        role = key.rpartition(".")[2]
        if path and role not in NO_PATHS and (not key.startswith("files.") or names_path(dataset, role, path)):
            root = layout.raw(of_images if role == "images" else dataset["source"])
            inside.folder(root, path, f"data set {dataset['name']}: {key}", links=True)


def official_files(dataset: Mapping[str, Any]) -> list[str]:
    """The files of records that the data set's conf names, without folders, relative to the raw folder."""
    entries = [entry for paths in dataset["files"].values() for entry in paths.items()]
    named = {path for role, path in entries if path and role not in NO_FILES and names_path(dataset, role, path)}
    return sorted(named)


def names_path(dataset: Mapping[str, Any], role: str, value: Any) -> bool:
    """Whether a value in `files` is a path: of a plugin's reader, which may have settings there, if it is a file's."""
    if role == "images" or dataset["reader"] not in components.brought("reader"):
        return True
    return isinstance(value, str) and os.path.isfile(layout.raw(dataset["source"]) / value)  # noqa: PTH113  # any text


def named_images(table: pa.Table, source: str, hashes: Mapping[str, str]) -> dict[str, str]:
    """The images that the rows name, and their sha256 by the raw manifest; both relative to the raw folder.

    Raises:
        UserError: an image is in the raw folder but was not part of the download.
    """
    folder: Path = layout.raw(source)
    named: dict[str, str] = {}
    for path in pc.unique(table["image_path"]).to_pylist():
        if not path:
            continue
        relative = path.removeprefix(f"{folder.as_posix()}/")
        if relative == path or relative not in hashes:
            raise UserError(f"{path} was not part of the download of {source!r}; run the download step again")
        named[relative] = hashes[relative]
    return named


def near(table: pa.Table, source: str, named: Mapping[str, str]) -> near_images.Groups:
    """The groups of near-duplicate images; an image with two paths is named by the first."""
    folder = layout.raw(source)
    paths: dict[str, str] = {}
    for image_id, path in zip(table["image_id"].to_pylist(), table["image_path"].to_pylist(), strict=True):
        if path:
            paths.setdefault(image_id, path)
    hashes = {image_id: named[Path(path).relative_to(folder).as_posix()] for image_id, path in paths.items()}
    return near_images.groups(paths, hashes)


if __name__ == "__main__":
    raise SystemExit(main())
