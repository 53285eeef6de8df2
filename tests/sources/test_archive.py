import contextlib
import stat
import tarfile
import warnings
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
    with pytest.raises(UserError, match="is not a complete zip file"):
        archive.unpack(content, tmp_path / "out", MIB)
    content.write_bytes(whole[:35] + b"\0\0\0" + whole[38:])  # within the compressed bytes
    with pytest.raises(UserError, match="is not a complete zip file"):
        archive.unpack(content, tmp_path / "out", MIB)


def test_a_full_disk_is_known_beforehand(tmp_path):
    with pytest.raises(UserError, match=r"needs .* GiB more, .* GiB are free; free some space"):
        archive.check_space(tmp_path, 1 << 60)


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        (["a", "b", "a"], "occurs twice"), (["a/b", "a/./b"], "occurs twice"), (["a", "a/b"], "is inside 'a'"),
        (["a/b/c", "a/b"], "is inside 'a/b'"), (["x" * 300], "longer than"), (["a/" * 3000 + "b"], "longer than"),
        (["a\x1bb"], "control characters"), (["~/x"], "would leave"),
    ],
)  # fmt: skip
def test_no_name_twice_nested_or_impossible(tmp_path, names, problem):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as out, warnings.catch_warnings(action="ignore"):
        for name in ["good.txt", *names]:
            out.writestr(name, "1")
    with pytest.raises(UserError, match=f"{problem}.*; this archive cannot be trusted"):
        archive.unpack(tmp_path / "a.zip", tmp_path / "out", MIB)
    assert not (tmp_path / "out").exists()


def test_more_members_than_agreed_are_refused(tmp_path):
    content = make(tmp_path / "a.zip", {f"{n}": "" for n in range(11)})
    with pytest.raises(UserError, match=r"has 11 members, more than the 10 allowed; .*limit_files"):
        archive.unpack(content, tmp_path / "out", MIB, most=10)
    assert archive.unpack(content, tmp_path / "out", MIB) == 11


def test_an_archive_of_another_kind_is_not_told_to_be_fetched_again_alone(tmp_path):
    (tmp_path / "x").write_text("1")
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as out:
        out.add(tmp_path / "x", "x")
    with pytest.raises(UserError, match=r"a\.tar\.gz is a tar file, .*unpack it yourself"):
        archive.unpack(tmp_path / "a.tar.gz", tmp_path / "out", MIB)
    whole = make(tmp_path / "a.zip", {"x": "1" * 1000}).read_bytes()
    (tmp_path / "a.zip").write_bytes(whole[:-30])
    with pytest.raises(UserError, match=r"complete zip file .*fetch it again$"):
        archive.unpack(tmp_path / "a.zip", tmp_path / "out", MIB)


def test_a_zip_bomb_is_refused_whatever_was_agreed(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "SMALL", MIB)
    content = make(tmp_path / "a.zip", {"zeros": bytes(2 * MIB)})
    with pytest.raises(UserError, match="more than 200 times its own size"):
        archive.unpack(content, tmp_path / "out", 1 << 40)
    assert not (tmp_path / "out").exists()


def test_two_zips_cannot_write_one_file(tmp_path):
    content = make(tmp_path / "a.zip", {"x/a.json": "1"})
    archive.unpack(content, tmp_path / "out", MIB)
    with pytest.raises(UserError, match=r"member is 'a\.json', and another file of this source has that place"):
        archive.unpack(content, tmp_path / "out", MIB)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_damaged_bytes_of_every_compression_are_one_message(tmp_path, method):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", method) as out:
        out.writestr("x", "".join(map(str, range(3000))))
    whole = (tmp_path / "a.zip").read_bytes()
    for at in range(0, len(whole), 97):
        (tmp_path / "a.zip").write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        with contextlib.suppress(UserError):
            archive.unpack(tmp_path / "a.zip", tmp_path / f"out{at}", MIB)


def test_what_cannot_be_unpacked_here_is_not_damaged(tmp_path):
    """An encrypted zip, say: fetching it again would bring the same bytes."""
    content = make(tmp_path / "a.zip", {"x": "1"})
    raw = bytearray(content.read_bytes())
    for at in (raw.find(b"PK\x03\x04") + 6, raw.find(b"PK\x01\x02") + 8):
        raw[at] |= 1  # the flag of encryption
    content.write_bytes(raw)
    with pytest.raises(UserError, match=r"a\.zip cannot be unpacked \(.*encrypted.*unpack it yourself") as refused:
        archive.unpack(content, tmp_path / "out", MIB)
    assert not isinstance(refused.value, archive.Damaged)
