"""Unpacking an untrusted zip: inside its folder, without links or duplicates, up to a size limit."""

import lzma
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from vlkd_steps.core import inside
from vlkd_steps.core.errors import UserError

GIB = 1 << 30
FILES = 50_000
"""Members that a zip may have if its source sets no `limit_files`."""
TABLE = ".parquet"
"""The suffix of files that `parquet_images` unpacks instead of this module."""
_BY_HAND = "unpack it yourself and use the files through a source of kind local"
RATIO = 200
"""Bytes that each byte of the zip may unpack to: JSON has 10 to 30, a zip bomb a thousand or more."""
SMALL = 64 << 20
"""Bytes that any zip may unpack to: a small one may contain a blank image or array."""


class Damaged(UserError):
    """A zip that is not what was sent."""


BROKEN = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, ValueError)
"""What reading a damaged or truncated zip raises."""
CANNOT = (RuntimeError, OSError)
"""What Python raises for a zip that is encrypted or of a compression that it lacks, and for a failing disk."""


def unpack(
    archive: Path, folder: Path, limit: int, wanted: Callable[[str], bool] = lambda name: True, most: int = FILES
) -> int:
    """Unpack the members of a zip that `wanted` selects into `folder`; returns the number of files.

    Every member is checked before the first byte is written.

    Args:
        limit: bytes that the unpacked files may have in total.
        most: members that the zip may have, folders included.

    Raises:
        UserError: not a complete zip file; a member that leaves the folder, is a link or another special file, is a
            duplicate, or exists in `folder`; more members or bytes than allowed, or no space left for them.
    """
    try:
        content = zipfile.ZipFile(archive)
    except (*BROKEN, *CANNOT) as error:
        raise _unreadable(archive, error) from error
    with content:
        members = _checked(content.infolist(), archive, most)
        members = [member for member in members if wanted(member.filename)]
        _check_size(sum(member.file_size for member in members), archive, limit)
        folder.mkdir(parents=True, exist_ok=True)
        check_space(folder, sum(member.file_size for member in members))
        for member in members:
            where = f"{archive}: a member"
            with free_place(inside.path(folder, member.filename, where), where).open("wb") as out:
                for piece in _bytes_of(content, member, archive):
                    out.write(piece)
        return len(members)


def free_place(target: Path, where: str) -> Path:
    """The path of a new file of a source, with its folder, which is made.

    Args:
        where: what names the file, for the message.

    Raises:
        UserError: another file of the source is there, or where a folder on the way is to be.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        taken = target.exists()
    except (FileExistsError, NotADirectoryError):
        taken = True
    if taken:
        raise UserError(
            f"{where} is {target.name!r}, and another file of this source has that place, or is on the way to it; take "
            "one of them out of `files` in the source's conf, or rename it (of kind http: by its `path`)"
        )
    return target


def check_space(folder: Path, needed: int) -> None:
    """Check that the disk has room.

    Raises:
        UserError: fewer than `needed` bytes are free where `folder` is.
    """
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise UserError(
            f"{folder} needs {needed / GIB:.1f} GiB more, {free / GIB:.1f} GiB are free; free some space, or set "
            "the project up on a larger disk"
        )


def _checked(members: Sequence[zipfile.ZipInfo], archive: Path, most: int) -> list[zipfile.ZipInfo]:
    """The members that are files."""
    if len(members) > most:
        raise UserError(
            f"{archive} has {len(members)} members, more than the {most} allowed; if that is right, raise "
            "`limit_files` in the source's conf"
        )
    files = [member for member in members if not member.is_dir()]
    names: set[str] = set()
    for member in files:
        kind = stat.S_IFMT(member.external_attr >> 16)
        problem = inside.fault(member.filename)
        if not problem and kind not in (0, stat.S_IFREG):
            problem = "is a link or a special file"
        same = "/".join(part for part in member.filename.split("/") if part not in ("", "."))
        if not problem and (same in names or not same):
            problem = "occurs twice" if same else "is no file"
        if problem:
            raise _untrusted(archive, member.filename, problem)
        names.add(same)
    for name in sorted(names):
        if above := next((name[:at] for at, letter in enumerate(name) if letter == "/" and name[:at] in names), None):
            raise _untrusted(archive, name, f"is inside {above!r}, which is a file")
    return files


def _check_size(total: int, archive: Path, limit: int) -> None:
    if total > limit:
        raise UserError(
            f"{archive} unpacks to {total / GIB:.2f} GiB, more than the {limit / GIB:.2f} GiB allowed; "
            "if that is right, raise `limit_gib` in the source's conf"
        )
    if total > max(SMALL, RATIO * archive.stat().st_size):
        raise UserError(
            f"{archive} unpacks to {total / GIB:.2f} GiB, more than {RATIO} times its own size, as a zip bomb does; "
            f"if you trust it, {_BY_HAND}"
        )


def _bytes_of(content: zipfile.ZipFile, member: zipfile.ZipInfo, archive: Path) -> Iterator[bytes]:
    """A member's bytes; zipfile reads no more than the stated size, and checks the CRC."""
    try:
        with content.open(member) as stream:
            while piece := stream.read(1 << 20):
                yield piece
    except (*BROKEN, *CANNOT) as error:
        raise _unreadable(archive, error) from error


def _unreadable(archive: Path, error: Exception) -> UserError:
    if isinstance(error, CANNOT):
        return UserError(f"{archive} cannot be unpacked ({error}); {_BY_HAND}")
    if tarfile.is_tarfile(archive):
        return UserError(f"{archive} is a tar file, and only zip files are unpacked; {_BY_HAND}")
    return Damaged(f"{archive} is not a complete zip file ({error}); fetch it again")


def _untrusted(archive: Path, name: str, problem: str) -> UserError:
    return UserError(f"{archive}: the member {name[: inside.SHOWN]!r} {problem}; this archive cannot be trusted")
