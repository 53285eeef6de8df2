"""The raw manifest: sha256 of every file of a source, written last, so that its presence means "complete"."""

import ctypes
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from vlkd_steps.core import files, folders, layout
from vlkd_steps.core.errors import UserError

IMAGES = (".jpg", ".jpeg", ".png", ".webp")
MOST = 60  # names in a message


def write(folder: Path, name: str) -> dict[str, str]:
    """Hash every file below `folder` and write ``folder/manifest.json``; returns {relative path: sha256}.

    All files are on the disk before the manifest is.

    Raises:
        UserError: a file whose name is no Unicode text.
    """
    paths = folders.files_below(folder)
    check_names(paths, f"source {name!r}: ")
    hashes = {path.relative_to(folder).as_posix(): files.sha256(path) for path in paths}
    flush(folder)
    record(folder, name, hashes)
    return hashes


def flush(folder: Path) -> None:
    """Have all of the folder's file system on the disk: file by file takes minutes where there are 100,000 images."""
    system = ctypes.CDLL(None)
    handle = os.open(folder, os.O_RDONLY)
    try:
        if not hasattr(system, "syncfs") or system.syncfs(handle):  # not on Linux, or not of this file system
            os.sync()
    finally:
        os.close(handle)


def record(folder: Path, name: str, hashes: Mapping[str, str]) -> None:
    """Write ``folder/manifest.json`` with the sha256 by relative path of a source's files."""
    files.write_json(folder / "manifest.json", {"source": name, "files": hashes})


def check_names(paths: Iterable[Path], where: str = "") -> None:
    """Refuse files whose names cannot be written into a manifest.

    Raises:
        UserError: a name that is not UTF-8, as old archives and disks of other systems have them.
    """
    for path in paths:
        if not files.is_utf8(str(path)):
            raise UserError(
                f"{where}the name of the file {os.fsencode(path)!r} is not UTF-8; rename the file, or leave it out"
            )


def read(source: str) -> dict[str, str]:
    """{path relative to the raw folder: sha256} of a downloaded source.

    Raises:
        UserError: the source has not been downloaded, or its manifest is damaged.
    """
    path = layout.raw_manifest(source)
    manifest = files.read_json(path, f"download source {source!r}: snakemake --cores 1 -f {{path}}")
    hashes = manifest.get("files")
    if not isinstance(hashes, dict):
        raise UserError(f"{path} lists no files; download source {source!r}: snakemake --cores 1 -f {path}")
    return hashes


def check(source: str, relative: str, hashes: dict[str, str]) -> None:
    """Refuse a raw file other than the downloaded one.

    Raises:
        UserError: the file is missing, was not part of the download, or has been changed since.
    """
    path = layout.raw(source) / relative
    if relative not in hashes:
        others = [name for name in sorted(hashes) if not name.lower().endswith(IMAGES)]
        more = f" and {len(others) - MOST} more" if len(others) > MOST else ""
        raise UserError(
            f"{path} is not part of source {source!r}; check `files` in the data set's conf "
            f"(its files other than images are: {', '.join(others[:MOST]) or 'none'}{more})"
        )
    if not path.is_file():
        raise UserError(f"{path} was deleted after the download; run the download step for {source!r} again")
    if files.sha256(path) != hashes[relative]:
        raise UserError(
            f"{path} was changed after the download (its sha256 differs from {layout.raw_manifest(source)}); "
            f"run the download step for {source!r} again, and keep your own data in {layout.INCOMING}"
        )
