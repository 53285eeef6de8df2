"""Unpacking a zip from outside: nothing leaves the folder, no links, no more than was agreed."""

import lzma
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from vlkd_steps.core.errors import UserError

GIB = 1 << 30


def unpack(archive: Path, folder: Path, limit: int, wanted: Callable[[str], bool] = lambda name: True) -> int:
    """Unpack the members of a zip that `wanted` names into `folder`; returns the number of files.

    Every member is checked before the first byte is written.

    Args:
        limit: the most bytes that the unpacked files may have together.

    Raises:
        UserError: not a whole zip file, a member whose path leaves the folder, a link or another special
            file, more bytes than `limit`, or no space left for them.
    """
    try:
        with zipfile.ZipFile(archive) as content:
            members = [member for member in content.infolist() if not member.is_dir()]
            for member in members:
                _check_member(member, archive)
            members = [member for member in members if wanted(member.filename)]
            total = sum(member.file_size for member in members)
            if total > limit:
                raise UserError(
                    f"{archive} unpacks to {total / GIB:.2f} GiB, more than the {limit / GIB:.2f} GiB allowed for it; "
                    "if that is right, raise `limit_gib` in the source's conf"
                )
            folder.mkdir(parents=True, exist_ok=True)
            check_space(folder, total)
            for member in members:
                target = folder.joinpath(*PurePosixPath(member.filename).parts)
                target.parent.mkdir(parents=True, exist_ok=True)
                # zipfile reads no more than file_size of a member and checks its CRC: the limit holds
                with content.open(member) as stream, target.open("wb") as out:
                    shutil.copyfileobj(stream, out, 1 << 20)
            return len(members)
    except OSError as error:
        if error.errno is None:  # bz2's word for damaged data
            raise _damaged(archive, error) from error
        raise UserError(f"{archive} cannot be unpacked into {folder} ({error})") from error
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, RuntimeError) as error:
        raise _damaged(archive, error) from error
    except (ValueError, struct.error, IndexError, OverflowError) as error:  # damaged names, dates and offsets
        raise _damaged(archive, error) from error


def _damaged(archive: Path, error: Exception) -> UserError:
    return UserError(f"{archive} is not a whole zip file ({error}); fetch it again")


def check_space(folder: Path, needed: int) -> None:
    """Refuse to start what the disk cannot hold.

    Raises:
        UserError: fewer than `needed` bytes are free where `folder` is.
    """
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise UserError(
            f"{folder} needs {needed / GIB:.1f} GiB more, {free / GIB:.1f} GiB are free; free some space, or set "
            "the project up on a larger disk"
        )


def _check_member(member: zipfile.ZipInfo, archive: Path) -> None:
    name = member.filename
    path = PurePosixPath(name)
    # A backslash or a drive letter is a path on Windows only, and no honest archive needs one.
    if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name or not path.parts:
        raise UserError(f"{archive}: the member {name!r} would leave the folder; this archive cannot be trusted")
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        raise UserError(f"{archive}: the member {name!r} is a link or a special file; this archive cannot be trusted")
