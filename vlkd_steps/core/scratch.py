"""Copies of often-read files on the node's own disk: made once per node, then read by every process of that node.

``VLKD_SCRATCH`` names a folder on that disk, such as ``$SLURM_TMPDIR`` or ``/tmp/$USER/vlkd``; variables are expanded
on the node. Without it files are read where they are. A copy never affects results: if it fails (no space, an
unset variable), that is logged, and the shared file system is read as before.

A set of files is copied to a temporary folder, which is then renamed to ``<hash of names, sizes and contents>``: so a
folder of that name is a complete copy of these files. Modification times are not compared.
"""

import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from vlkd_steps.core import files, layout, locks, raw_files, step
from vlkd_steps.core.errors import UserError

VARIABLE = "VLKD_SCRATCH"
THREADS = 8
SPARE = 256 * 1024**2
"""Bytes that a copy must leave free on the node's disk."""


def local_copy(paths: Iterable[Path], contents: Sequence[str] = ()) -> dict[Path, Path]:
    """Copy files to this node's own disk, unless they are already there.

    Args:
        paths: the files, from the project's root or absolute.
        contents: what identifies their contents, such as hashes: a change that keeps a file's size is only noticed
            if this changes too.

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
        return in_place  # the code that reads the file reports the error
    named = [[str(path), size] for path, size in zip(wanted, sizes, strict=True)]
    copy = folder / files.digest([str(Path.cwd()), named, list(contents)])[:32]
    copies = {path: copy / f"{number:08d}{path.suffix}" for number, path in enumerate(wanted)}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locks.exclusive(copy.with_suffix(".lock"), wait=None):
            if not _whole(copies.values(), sizes):
                _copy(copies, copy, sizes)
    except (OSError, UserError) as error:
        step.log.warning(f"[scratch] {len(wanted)} files are read where they are: cannot copy to {folder}: {error}")
        return in_place
    return copies


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
        step.log.warning(f"[scratch] files are read where they are: {VARIABLE}={text}, but there is no home directory")
        return None


def _whole(copies: Iterable[Path], sizes: Sequence[int]) -> bool:
    """Whether a copy is complete; a node may delete old temporary files."""
    try:
        return all(path.stat().st_size == size for path, size in zip(copies, sizes, strict=True))
    except FileNotFoundError:
        return False


def _copied(path: Path, copy: Path) -> Path:
    """Copy one file; raw files are compared with their manifest now, since nobody can tell later what a copy is of."""
    if path.is_relative_to(layout.RAW):
        content = path.read_bytes()
        raw_files.check(path, content)
        copy.write_bytes(content)
        return copy
    return shutil.copyfile(path, copy)


def _copy(copies: Mapping[Path, Path], copy: Path, sizes: Sequence[int]) -> None:
    """Copy all files or none; the caller holds the copy's lock.

    Raises:
        OSError: too little space, or another error of the file system.
    """
    partial = copy.with_suffix(".partial")
    for stale in (partial, copy):  # left by a process that died, or partly deleted by the node
        shutil.rmtree(stale, ignore_errors=True)
    size, free = sum(sizes), shutil.disk_usage(copy.parent).free
    if free < size + SPARE:
        raise OSError(f"{size / 1e9:.2f} GB to copy, {free / 1e9:.2f} GB free")
    partial.mkdir()
    try:
        with ThreadPoolExecutor(THREADS) as pool:
            copied = list(pool.map(lambda item: _copied(item[0], partial / item[1].name), copies.items()))
        if not _whole(copied, sizes):
            raise OSError("a file changed while it was copied")
        os.replace(partial, copy)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    step.log.info(f"[scratch] {len(copies)} files, {size / 1e9:.2f} GB, copied to {copy}")
