import os
import resource
import signal
from pathlib import Path

import pytest

from vlkd_steps.core import file_system
from vlkd_steps.core.errors import UserError
from vlkd_steps.launch.slurm import queue

# As /proc/self/mountinfo of a login node has it (proc(5)): optional fields before the dash, blanks as \040.
CLUSTER = r"""
21 1 8:2 / / rw,relatime shared:1 - ext4 /dev/sda2 rw
30 21 0:26 / /tmp rw,nosuid shared:5 master:2 - tmpfs tmpfs rw
31 21 0:50 / /home rw - autofs systemd-1 rw,fd=45
40 31 0:51 / /home/ada rw,relatime shared:9 - nfs4 server:/export/ada rw,vers=4.2
41 21 0:52 / /scratch rw - lustre 10.0.0.1@o2ib:/scratch rw,flock
42 21 0:53 / /work rw - xfs /dev/sdb1 rw
43 21 0:54 / /work rw - gpfs /dev/fs1 rw
44 21 0:55 / /mnt/my\040server rw - fuse.sshfs ada@host: rw
45 21 0:56 / /mnt/usb rw - fuseblk /dev/sdc1 rw
46 21 0:57 / /mnt/c rw - 9p C:\134 rw
47 21 0:58 / /mnt/bucket rw - fuse.rclone remote: rw
"""


@pytest.mark.parametrize(
    ("path", "kind", "shared"),
    [
        ("/opt/vlkd", "ext4", False),
        ("/tmp/x", "tmpfs", False),
        ("/home/ada/vlkd/not/yet/there", "nfs4", True),
        ("/home/adam", "autofs", False),
        ("/scratch/ada", "lustre", True),
        ("/work", "gpfs", True),
        ("/mnt/my server/vlkd", "fuse.sshfs", True),
        ("/mnt/usb/vlkd", "fuseblk", False),
        ("/mnt/c/vlkd", "9p", False),
        ("/mnt/bucket", "fuse.rclone", True),
    ],
)
def test_the_longest_mount_point_gives_the_kind(path: str, kind: str, shared: bool) -> None:
    found = file_system.of(Path(path), CLUSTER)
    assert (found.kind, found.shared) == (kind, shared)


@pytest.mark.parametrize("kind", ["nfs", "beegfs", "ceph", "glusterfs", "cifs", "smb3", "orangefs", "panfs", "wekafs"])
def test_what_several_machines_write_to_is_shared(kind: str) -> None:
    assert file_system.FileSystem(kind, Path("/")).shared


def test_a_link_is_followed_to_where_it_leads(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/scratch/ada")
    assert file_system.of(tmp_path / "link" / "vlkd", CLUSTER).kind == "lustre"


def test_this_machine_is_read_from_proc(tmp_path: Path) -> None:
    assert file_system.of(Path("/proc/self")).kind == "proc"
    assert file_system.of(tmp_path, "nonsense\n").kind == "unknown"


def test_the_node_local_folder_is_named_by_user_and_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_DISK", str(tmp_path))
    monkeypatch.setenv("VLKD_LOCAL", "$SOME_DISK/local")
    first, second = file_system.node_local(tmp_path / "a"), file_system.node_local(tmp_path / "b")
    assert first.parent == second.parent
    assert first != second
    assert first.parent.parent == tmp_path / "local"
    file_system.make_private(first)
    file_system.make_private(first)
    assert first.stat().st_mode & 0o777 == first.parent.stat().st_mode & 0o777 == 0o700
    monkeypatch.delenv("VLKD_LOCAL")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    assert file_system.node_local(tmp_path).parent.parent == tmp_path / "tmp"


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder away")
def test_a_folder_that_another_user_made_first_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLKD_LOCAL", str(tmp_path))
    folder = file_system.node_local(tmp_path)
    folder.parent.mkdir()
    os.chown(folder.parent, 12345, 12345)
    with pytest.raises(UserError, match=r"belongs to another user \(uid 12345\).*VLKD_LOCAL"):
        file_system.make_private(folder)


def test_a_path_that_is_not_a_folder_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("VLKD_LOCAL", str(tmp_path / "file"))
    with pytest.raises(UserError, match="VLKD_LOCAL"):
        file_system.make_private(file_system.node_local(tmp_path))


def test_a_folder_of_the_user_is_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLKD_LOCAL", str(tmp_path))
    monkeypatch.setenv("LOGNAME", "somebody_else")
    folder = file_system.user_folder()
    assert "somebody_else" not in folder.name
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    answer = queue.Queue(1).answer
    assert answer.is_relative_to(folder)
    assert {path.stat().st_mode & 0o777 for path in (folder, answer.parent)} == {0o700}


def test_another_users_link_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.getuid():
        pytest.skip("only root can make a link that belongs to somebody else")
    monkeypatch.setenv("VLKD_LOCAL", str(tmp_path))
    (tmp_path / "mine").mkdir()
    link = file_system.user_folder()
    link.symlink_to(tmp_path / "mine")
    os.chown(link, 54321, 54321, follow_symlinks=False)
    with pytest.raises(UserError, match="belongs to another user"):
        queue.Queue(1)


def test_a_missing_home_is_one_message() -> None:
    with pytest.raises(UserError, match="write the full path"):
        file_system.expanded("~no_such_user_here/x")


def test_a_link_where_a_private_folder_is_to_be_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLKD_LOCAL", str(tmp_path))
    (tmp_path / "elsewhere").mkdir(mode=0o755)
    file_system.user_folder().symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match=r"is a link to .*elsewhere, so nothing is written there"):
        queue.Queue(1)
    assert (tmp_path / "elsewhere").stat().st_mode & 0o777 == 0o755


def test_a_full_folder_for_temporary_files_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    file_system.check_temporary()
    assert list(tmp_path.iterdir()) == []
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limit[1]))
    try:
        with pytest.raises(UserError, match=f"temporary files, {tmp_path}, cannot hold 1 MiB .* export TMPDIR"):
            file_system.check_temporary()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, before)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "nowhere"))
    file_system.check_temporary()
