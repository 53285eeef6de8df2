"""Data that the user already has: in ``data/incoming/<name>`` or at any path.

Chosen files are copied (or linked) into the raw folder, so a run keeps its data when the original changes.
"""

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vlkd_steps.core import files, folders, inside, layout
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.step import log
from vlkd_steps.sources import archive, manifest


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
        matches = set(matching(source, root, pattern))
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


def hidden(relative: Path) -> bool:
    """Whether a file, or a folder on the way to it, is hidden: programs' own files, such as .git/config."""
    return any(part.startswith(".") for part in relative.parts)


def matching(source: Mapping[str, Any], folder: Path, pattern: str, walked: tuple[Path, ...] = ()) -> list[Path]:
    """The files below `folder` that match a pattern, in any order, without hidden ones.

    Args:
        walked: the folders from which links led to `folder`, resolved.

    Raises:
        UserError: the pattern is invalid or leaves the folder, a folder that may not be read, or a link to a folder
            that may not be followed.
    """
    problem = inside.fault(pattern)
    try:
        found = [] if problem else _files(folder, pattern)
    except (ValueError, NotImplementedError) as error:
        problem = f"is no pattern ({error})"
    if problem:
        raise UserError(f"source {source['name']!r}: the pattern {pattern!r} {problem}; write one such as images/*.jpg")
    walked = (*walked, folder.resolve())
    for link, rest in linked_folders(folder, pattern):
        where = f"source {source['name']!r}: {link} is a link to the folder {link.resolve()}"
        if not source.get("links"):
            raise UserError(
                f"{where}; if you made it, write `links: true` in conf/source/{source['name']}.yaml, so that its files "
                "are taken, or take the link away"
            )
        if any(each.is_relative_to(link.resolve()) for each in walked):
            raise UserError(f"{where}, from which it is reached, so that there is no end; take the link away")
        found += matching(source, link, rest, walked)
    return found


def _files(folder: Path, pattern: str) -> list[Path]:
    """The files that match and are not hidden; a folder in which names are looked for has to be readable."""
    parts = pattern.split("/")
    for at, part in enumerate(parts):
        if part == "**":
            break  # below that, `linked_folders` looks
        if re.search(r"[*?[]", part):
            for start in _starts(folder, parts[:at]):
                next(folders.walk(start, folders.LEAVE_OUT), None)
    found = (path for path in folder.glob(pattern) if not hidden(path.relative_to(folder)))
    return [path for path in found if folders.is_file(path, folders.LEAVE_OUT)]


def _starts(folder: Path, parts: Sequence[str]) -> list[Path]:
    """The folders that the first parts of a pattern mean, sorted, without hidden ones."""
    found = sorted(folder.glob("/".join(parts))) if parts else [folder]
    return [path for path in found if not hidden(path.relative_to(folder)) and path.is_dir()]


def linked_folders(folder: Path, pattern: str) -> list[tuple[Path, str]]:
    """The links to folders that ``**`` of a pattern leaves out, and what of the pattern is to be matched below them."""
    parts = pattern.split("/")
    return [
        (path, "/".join(parts[at:]))
        for at in (number for number, part in enumerate(parts) if part == "**")
        for start in _starts(folder, parts[:at])
        for path in _linked_below(start)
    ]


def _linked_below(folder: Path) -> list[Path]:
    """The links to folders at any depth, sorted; files are not looked at, as there may be hundreds of thousands."""
    found: list[Path] = []
    for above, names, _ in folders.walk(folder, folders.LEAVE_OUT):
        names[:] = [name for name in names if not name.startswith(".")]
        found += (path for path in (above / name for name in names) if path.is_symlink())
    return sorted(found)


def fetch(source: Mapping[str, Any], folder: Path) -> None:
    """Copy the chosen files into `folder` under the same relative paths; those named by ``unpack`` are unpacked: zips,
    and parquet files with images inside.

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
    manifest.check_names(paths, f"source {source['name']!r}: ")
    names = {path.relative_to(root).as_posix(): path for path in paths}
    _check_hashes(source, names)
    folder.mkdir(parents=True, exist_ok=True)
    if transfer == "copy":
        archive.check_space(folder, sum(path.stat().st_size for path in paths))
    to_unpack = [name for pattern in source.get("unpack", []) for name in _named(source, pattern, names)]
    limit = int(source.get("limit_gib", 64) * archive.GIB)
    for name in to_unpack:
        if name.lower().endswith(archive.TABLE):
            from vlkd_steps.sources import parquet_images  # pyarrow, which a submitter does not load

            parquet_images.unpack(names[name], folder, name, limit)
        else:
            archive.unpack(names[name], folder, limit, most=source.get("limit_files", archive.FILES))
    for name, path in names.items():
        if name not in to_unpack:
            _transfer(path, archive.free_place(folder / name, f"source {source['name']!r}: a file"), transfer)
    for pattern, number in sorted(source.get("expect", {}).items()):
        if (found := len(matching(source, folder, pattern))) < number:
            raise UserError(
                f"source {source['name']!r}: {found} files match {pattern!r}, there must be {number}; "
                f"{root} is not the complete release{_obtain(source)}"
            )
    log.info("[download %s] %d files from %s (%s)", source["name"], len(paths), root, transfer)


def _named(source: Mapping[str, Any], pattern: str, names: Mapping[str, Path]) -> list[str]:
    """The names among `names` that ``unpack`` means by a name or a pattern, sorted."""
    root = Path(source["path"])
    found = {path.relative_to(root).as_posix() for path in matching(source, root, pattern)}
    found = {pattern} if pattern in names else found & names.keys()
    if not found:
        raise UserError(f"source {source['name']!r}: unpack names {pattern!r}, which is not among its files in {root}")
    return sorted(found)


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
    try:
        if transfer == "symlink":
            target.symlink_to(path.resolve())
        elif transfer == "hardlink":
            os.link(path.resolve(), target)
        else:
            shutil.copyfile(path, target)
    except OSError as error:
        advice = "see that it can be read and that the disk has room" if transfer == "copy" else "try transfer: copy"
        raise UserError(
            f"{path} cannot be transferred to {target} by {transfer}: {error.strerror}; {advice}"
        ) from error
