"""What the last download of a source left, beside its folder: Snakemake deletes the raw manifest before it runs a job
again, and files that only a server has shall not be lost to an edit that changes none of them, or that is taken back.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vlkd_steps.core import files, folders, layout
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.files import digest
from vlkd_steps.sources import manifest


def write(source: str, decisive: Mapping[str, Any], hashes: Mapping[str, str]) -> None:
    """Keep the sha256 by relative path of a source's files, with a hash of all that decides what they are."""
    files.write_json(_path(source), {"decisive": digest(decisive), "files": hashes})


def restored(source: str, decisive: Mapping[str, Any]) -> dict[str, str] | None:
    """Write the raw manifest again, if the raw folder has just the files that are wanted; None: it has not.

    Every file is hashed, so that a damaged one is downloaded again.
    """
    if layout.raw(source).is_symlink():  # where it leads is not ours to write
        return None
    kept = files.known_json(_path(source))
    if kept.get("decisive") != digest(decisive) or not _unchanged(layout.raw(source), kept["files"]):
        return None
    hashes: dict[str, str] = kept["files"]
    manifest.record(layout.raw(source), source, hashes)
    shutil.rmtree(layout.arriving(source), ignore_errors=True)
    return hashes


def _unchanged(folder: Path, hashes: Mapping[str, str]) -> bool:
    """Whether a raw folder has these files, with these bytes, and no others."""
    try:
        found = {path.relative_to(folder).as_posix(): path for path in folders.files_below(folder)}
        found.pop(layout.RAW_MANIFEST, None)
        return found.keys() == hashes.keys() and all(files.sha256(found[name]) == hashes[name] for name in found)
    except (OSError, UserError):  # a file or folder that cannot be read
        return False


def _path(source: str) -> Path:
    return layout.raw(source).with_name(f".{source}.manifest.json")
