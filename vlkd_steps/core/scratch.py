"""Hot files on the node's own disk: copied there once per node, then read there by every process of that node.

``VLKD_SCRATCH`` names a folder on that disk, such as ``$SLURM_TMPDIR`` or ``/tmp/$USER/vlkd``; variables are expanded
on the node. Without it files are read where they are. A copy changes no byte of a result: whatever prevents one (no
space, an unset variable) is logged, and the shared file system is read as before.

A set of files is copied to a temporary folder, which is then renamed to ``<hash of names, sizes and contents>``: that
name says that the copy is whole and of what. No modification time is compared.
"""

import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from vlkd_steps.core import files, locks, step
from vlkd_steps.core.errors import UserError

VARIABLE = "VLKD_SCRATCH"
THREADS = 8
SPARE = 256 * 1024**2
"""Bytes that a copy must leave free on the node's disk."""


def local_copy(paths: Iterable[Path], contents: Sequence[str] = ()) -> dict[Path, Path]:
    """Bring files to this node's own disk, unless they are there.

    Args:
        paths: the files, from the project's root or absolute.
        contents: what is known of their contents, such as hashes: a file that changes and keeps its size is only
            noticed where this changes too.

    Returns:
        For each of `paths` the file to read, which has the same content.
    """
    wanted = sorted(set(paths))
    in_place = {path: path for path in wanted}
    folder = scratch_folder()
    if folder is None or not wanted:
        return in_place
    try:
        with ThreadPoolExecutor(THREADS) as pool:
            sizes = list(pool.map(lambda path: path.stat().st_size, wanted))
    except OSError:
        return in_place  # whoever reads that file says what is wrong with it, in words of its own
    named = [[str(path), size] for path, size in zip(wanted, sizes, strict=True)]
    copy = folder / files.digest([str(Path.cwd()), named, list(contents)])[:32]
    places = {path: copy / f"{number:08d}{path.suffix}" for number, path in enumerate(wanted)}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locks.exclusive(copy.with_suffix(".lock"), wait=None):
            if not _whole(places.values(), sizes):
                _copy(places, copy, sizes)
    except (OSError, UserError) as error:
        step.log.warning(f"[scratch] {len(wanted)} files are read where they are: cannot copy to {folder}: {error}")
        return in_place
    return places


def scratch_folder() -> Path | None:
    """The folder that ``VLKD_SCRATCH`` names on this node, or None."""
    text = os.environ.get(VARIABLE, "")
    expanded = os.path.expandvars(text)
    if "$" in expanded:
        step.log.warning(f"[scratch] files are read where they are: {VARIABLE}={text} names a variable not set here")
        return None
    try:
        return Path(expanded).expanduser() if expanded else None
    except RuntimeError:
        step.log.warning(
            f"[scratch] files are read where they are: {VARIABLE}={text}, but nobody knows a home directory"
        )
        return None


def _whole(places: Iterable[Path], sizes: Sequence[int]) -> bool:
    """Whether all files of a copy are there; nodes have cleaners of their own."""
    try:
        return all(place.stat().st_size == size for place, size in zip(places, sizes, strict=True))
    except FileNotFoundError:
        return False


def _copy(places: Mapping[Path, Path], copy: Path, sizes: Sequence[int]) -> None:
    """Copy all files or none; only under the copy's lock.

    Raises:
        OSError: too little space, or whatever else the file system says.
    """
    partial = copy.with_suffix(".partial")
    for stale in (partial, copy):  # of a process that died, or that a cleaner has thinned out
        shutil.rmtree(stale, ignore_errors=True)
    size, free = sum(sizes), shutil.disk_usage(copy.parent).free
    if free < size + SPARE:
        raise OSError(f"{size / 1e9:.2f} GB to copy, {free / 1e9:.2f} GB free")
    partial.mkdir()
    try:
        with ThreadPoolExecutor(THREADS) as pool:
            copied = list(pool.map(lambda item: shutil.copyfile(item[0], partial / item[1].name), places.items()))
        if not _whole(copied, sizes):
            raise OSError("a file changed while it was copied")
        os.replace(partial, copy)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    step.log.info(f"[scratch] {len(places)} files, {size / 1e9:.2f} GB, copied to {copy}")
