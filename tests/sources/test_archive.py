import stat
import zipfile

import pytest

from vlkd_steps.core.errors import UserError
from vlkd_steps.sources import archive

MIB = 1 << 20


def make(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for name, data in members.items():
            out.writestr(name, data)
    return path


def test_wanted_members_are_unpacked(tmp_path):
    content = make(tmp_path / "a.zip", {"pkg/data/x.json": "1", "pkg/code.py": "2", "pkg/data/": ""})
    assert archive.unpack(content, tmp_path / "out", MIB, lambda name: name.startswith("pkg/data/")) == 1
    assert (tmp_path / "out/pkg/data/x.json").read_text() == "1"
    assert not (tmp_path / "out/pkg/code.py").exists()


@pytest.mark.parametrize("name", ["../out.txt", "a/../../out.txt", "/etc/x", "..\\x", "C:x", "a/.."])
def test_a_path_that_leaves_the_folder_writes_nothing(tmp_path, name):
    content = make(tmp_path / "a.zip", {"good.txt": "1", name: "2"})
    with pytest.raises(UserError, match="would leave the folder; this archive cannot be trusted"):
        archive.unpack(content, tmp_path / "out", MIB)
    assert not (tmp_path / "out").exists()
    assert {path.name for path in tmp_path.iterdir()} == {"a.zip"}


def test_links_are_refused(tmp_path):
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    content = make(tmp_path / "a.zip", {link: "/etc/passwd"})
    with pytest.raises(UserError, match="is a link or a special file"):
        archive.unpack(content, tmp_path / "out", MIB)


def test_more_bytes_than_agreed_are_refused(tmp_path):
    content = make(tmp_path / "a.zip", {"zeros": b"\0" * (2 * MIB)})
    assert content.stat().st_size < MIB // 100
    with pytest.raises(UserError, match=r"unpacks to 0\.00 GiB, more than .* raise `limit_gib`"):
        archive.unpack(content, tmp_path / "out", MIB)
    assert not (tmp_path / "out").exists()


def test_a_cut_or_damaged_zip_is_refused(tmp_path):
    content = make(tmp_path / "a.zip", {"x": "1" * 1000})
    whole = content.read_bytes()
    content.write_bytes(whole[:-30])
    with pytest.raises(UserError, match="is not a whole zip file"):
        archive.unpack(content, tmp_path / "out", MIB)
    content.write_bytes(whole[:35] + b"\0\0\0" + whole[38:])  # within the compressed bytes
    with pytest.raises(UserError, match="is not a whole zip file"):
        archive.unpack(content, tmp_path / "out", MIB)


def test_a_full_disk_is_known_beforehand(tmp_path):
    with pytest.raises(UserError, match=r"needs .* GiB more, .* GiB are free; free some space"):
        archive.check_space(tmp_path, 1 << 60)
