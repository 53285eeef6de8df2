"""Data that the user already has: in ``data/incoming/<name>`` or at any path.

Chosen files are copied (or linked) into the raw folder, so a run keeps its data when the original changes.
"""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vlkd_steps.core import files, inside, layout
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.step import log
from vlkd_steps.sources import archive


def incoming(name: str) -> dict[str, Any]:
    """The conf of a source that has no conf file: everything in the folder ``data/incoming/<name>``."""
    return {"name": name, "kind": "local", "path": (layout.INCOMING / inside.name(name)).as_posix()}


def chosen(source: Mapping[str, Any]) -> list[Path]:
    """The files below ``path`` that match the conf's patterns ``files`` (default: all), sorted.

    Raises:
        UserError: the folder is missing, or a pattern matches nothing.
    """
    root = Path(source["path"])
    if not root.is_dir():
        raise UserError(
            f"source {source['name']!r}: the folder {root} does not exist; put the data there, or set "
            f"`path` in conf/source/{source['name']}.yaml{_obtain(source)}"
        )
    found: set[Path] = set()
    for pattern in source.get("files", ["**/*"]):
        matches = {path for path in matching(source, root, pattern) if not path.name.startswith(".")}
        if not matches:
            raise UserError(
                f"source {source['name']!r}: no file matches {pattern!r} in {root}; add it, or fix `files`"
                f"{_obtain(source)}"
            )
        found |= matches
    if leaving := [path for path in sorted(found) if not source.get("links") and inside.leaves(root, path)]:
        raise UserError(
            f"source {source['name']!r}: {leaving[0]} is, or is reached through, a link out of {root}, to "
            f"{leaving[0].resolve()}; if you made it, write `links: true` in conf/source/{source['name']}.yaml"
        )
    return sorted(found)


def matching(source: Mapping[str, Any], folder: Path, pattern: str) -> list[Path]:
    """The files below `folder` that match a pattern, in any order.

    Raises:
        UserError: the pattern is invalid or leaves the folder.
    """
    problem = inside.fault(pattern)
    try:
        found = [] if problem else [path for path in folder.glob(pattern) if path.is_file()]
    except (ValueError, NotImplementedError) as error:
        problem = f"is no pattern ({error})"
    if problem:
        raise UserError(f"source {source['name']!r}: the pattern {pattern!r} {problem}; write one such as images/*.jpg")
    return found


def fetch(source: Mapping[str, Any], folder: Path) -> None:
    """Copy the chosen files into `folder` under the same relative paths; zips named by ``unpack`` are unpacked.

    ``transfer`` is ``copy`` (default), ``hardlink`` or ``symlink``; ``sha256`` {relative path: hex} is checked, and
    ``expect`` {pattern: number} states how many files there must be at least. A link out of ``path`` is followed only
    with ``links: true``: an unpacked archive may contain one to any file of this machine.

    Raises:
        UserError: a file is missing, differs from its sha256, or cannot be transferred, or there are too few.
    """
    root = Path(source["path"])
    paths = chosen(source)
    transfer = source.get("transfer", "copy")
    if transfer not in ("copy", "hardlink", "symlink"):
        raise UserError(f"source {source['name']!r}: transfer is {transfer!r}, not copy, hardlink or symlink")
    names = {path.relative_to(root).as_posix(): path for path in paths}
    _check_hashes(source, names)
    folder.mkdir(parents=True, exist_ok=True)
    if transfer == "copy":
        archive.check_space(folder, sum(path.stat().st_size for path in paths))
    to_unpack = source.get("unpack", [])
    for name in to_unpack:
        if name not in names:
            raise UserError(f"source {source['name']!r}: unpack names {name!r}, which is not among its files in {root}")
        limit = int(source.get("limit_gib", 64) * archive.GIB)
        archive.unpack(names[name], folder, limit, most=source.get("limit_files", archive.FILES))
    for name, path in names.items():
        if name not in to_unpack:
            if to_unpack and (folder / name).exists():
                raise UserError(
                    f"source {source['name']!r}: {name} is also in one of its zips; leave one out by `files`"
                )
            _transfer(path, folder / name, transfer)
    for pattern, number in sorted(source.get("expect", {}).items()):
        if (found := len(matching(source, folder, pattern))) < number:
            raise UserError(
                f"source {source['name']!r}: {found} files match {pattern!r}, there must be {number}; "
                f"{root} is not the complete release{_obtain(source)}"
            )
    log.info("[download %s] %d files from %s (%s)", source["name"], len(paths), root, transfer)


def _obtain(source: Mapping[str, Any]) -> str:
    """How to obtain data that may not be downloaded, from the conf."""
    return f". {source['obtain']}" if source.get("obtain") else ""


def _check_hashes(source: Mapping[str, Any], names: Mapping[str, Path]) -> None:
    for name, expected in sorted(source.get("sha256", {}).items()):
        if name not in names:
            raise UserError(f"source {source['name']!r}: {name} has a sha256 in its conf but is not among its files")
        found = files.sha256(names[name])
        if found != expected:
            raise UserError(f"{names[name]} has sha256 {found}, its conf expects {expected}; fetch the file again")


def _transfer(path: Path, target: Path, transfer: str) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        if transfer == "symlink":
            target.symlink_to(path.resolve())
        elif transfer == "hardlink":
            os.link(path.resolve(), target)
        else:
            shutil.copyfile(path, target)
    except OSError as error:
        raise UserError(
            f"{path} cannot be transferred to {target} by {transfer}: {error.strerror}; try transfer: copy"
        ) from error
