"""The file system of a path, and node-local folders for files that must not be on a shared one.

sqlite needs locks and shared memory maps, which network file systems often do not support correctly
(sqlite.org/faq.html#q5): there, two writers, or one whose node loses its connection, corrupt a database.
"""

import os
import pwd
import re
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

from vlkd_steps.core import files
from vlkd_steps.core.errors import UserError

MOUNTINFO = Path("/proc/self/mountinfo")
NODE_LOCAL = "VLKD_LOCAL"

# Shared by several machines. 9p and virtiofs are left out: they connect a guest to its own host, and where a
# container's root is 9p, its temporary folder is too.
NETWORK = {
    "acfs", "afp", "afs", "auristorfs", "beegfs", "ceph", "cifs", "coda", "davfs", "dvs", "gfs2", "glusterfs", "gpfs",
    "juicefs", "lustre", "moosefs", "ncpfs", "nfs", "nfs4", "ocfs2", "orangefs", "panfs", "pvfs2", "quobyte", "smb",
    "smb3", "smbfs", "wekafs",
}  # fmt: skip
NETWORK_FUSE = NETWORK | {
    "blobfuse", "blobfuse2", "ceph-fuse", "curlftpfs", "gcsfuse", "geesefs", "goofys", "lizardfs", "mfs", "mount-s3",
    "rclone", "s3fs", "seaweedfs", "sshfs",
}  # fmt: skip

TEMPORARY = 1 << 20
"""Bytes that the folder for temporary files has to hold."""


@dataclass(frozen=True)
class FileSystem:
    """The file system of a path.

    Attributes:
        kind: as the kernel calls it (``ext4``, ``nfs4``, ``fuse.sshfs``); ``unknown`` if it cannot be determined.
        mount_point: where it is mounted.
    """

    kind: str
    mount_point: Path

    @property
    def shared(self) -> bool:
        """Whether other machines may write to it too."""
        kind, _, helper = self.kind.lower().partition(".")
        return helper in NETWORK_FUSE if kind in ("fuse", "fuseblk") else kind in NETWORK


def of(path: Path, mountinfo: str | None = None) -> FileSystem:
    """The file system of a path, which need not exist: that of the longest mount point above it.

    Args:
        mountinfo: the text to look in, as proc(5) describes it; default: this process's own.
    """
    if mountinfo is None:
        try:
            mountinfo = MOUNTINFO.read_text(encoding="utf-8", errors="surrogateescape")
        except OSError:  # not Linux
            return FileSystem("unknown", Path("/"))
    absolute = expanded(path).resolve()
    found = FileSystem("unknown", Path("/"))
    for line in mountinfo.splitlines():
        before, dash, after = line.partition(" - ")
        if not dash or len(before.split()) < 5:
            continue
        point = Path(_unescaped(before.split()[4]))
        # Of two mounts at one point the later one hides the earlier.
        if absolute.is_relative_to(point) and len(point.parts) >= len(found.mount_point.parts):
            found = FileSystem(after.split()[0], point)
    return found


def node_local(project: Path) -> Path:
    """This machine's own folder for a project: below $VLKD_LOCAL or the system's temporary folder.

    Named after the user and the project's absolute path, so that two checkouts never share one. Not created here.
    """
    return user_folder() / files.digest(str(project.resolve()))[:12]


def user_folder() -> Path:
    """This machine's own folder for a user's projects; `make_private` creates its subfolders."""
    return expanded(os.path.expandvars(os.environ.get(NODE_LOCAL) or tempfile.gettempdir())) / f"vlkd-{user_name()}"


def make_private(folder: Path) -> None:
    """Make a folder in `user_folder` that only this user can access: temporary folders are shared by all users.

    Raises:
        UserError: it cannot be made, or another user owns it or may write to it.
    """
    for each in (folder.parent, folder):
        make_own(each)


def make_own(folder: Path) -> None:
    """Make a folder at a path that other users know and may have taken first; close it to them.

    Raises:
        UserError: it cannot be made, another user owns it, or it is a link.
    """
    remedy = f"name a folder of yours on this machine's own disk by {NODE_LOCAL}"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise UserError(f"{folder} cannot be made ({error.strerror}); {remedy}") from error
    if found.st_uid != os.getuid():
        raise UserError(f"{folder} belongs to another user (uid {found.st_uid}), so nothing is written there; {remedy}")
    if stat.S_ISLNK(found.st_mode):
        raise UserError(f"{folder} is a link to {folder.resolve()}, so nothing is written there; {remedy}")
    if found.st_mode & 0o077:
        folder.chmod(0o700)


def user_name() -> str:
    """The user of this process, whatever LOGNAME says; a user id without a name (in containers) as a number."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def expanded(path: str | Path) -> Path:
    """A path with ``~`` replaced.

    Raises:
        UserError: the home directory is unknown.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise UserError(
            f"{path} names a home directory, but HOME is not set and user {user_name()} has none; write the full path"
        ) from error


def _unescaped(text: str) -> str:
    """mountinfo writes blanks, tabs, line ends and backslashes as three octal digits."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)


def check_temporary() -> None:
    """Programs that we start (Snakemake's solver among them) write into the folder that TMPDIR names.

    Raises:
        UserError: nothing can be written there. One that is not there is not used by anybody.
    """
    folder = Path(os.environ.get("TMPDIR") or "/tmp")
    if not folder.is_dir():
        return
    try:
        with tempfile.TemporaryFile(dir=folder) as stream:
            stream.write(bytes(TEMPORARY))
    except OSError as error:
        raise UserError(
            f"the folder for temporary files, {folder}, cannot hold {TEMPORARY >> 20} MiB ({error.strerror}); free "
            "some space there, or name another folder: export TMPDIR=/path"
        ) from error
