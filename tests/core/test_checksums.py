import os
import shutil
import subprocess
from pathlib import Path

import pytest

from vlkd_steps.core import checksums, files
from vlkd_steps.core.errors import UserError


@pytest.fixture
def listing(tmp_path: Path) -> Path:
    """A list of two files."""
    paths = [tmp_path / "b" / "two.bin", tmp_path / "one.bin"]
    for number, path in enumerate(paths):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(bytes([number]) * 1000)
    checksums.write(tmp_path / "all.sha256", paths)
    return tmp_path / "all.sha256"


def test_a_list_is_sorted_and_relative_and_read_back(listing: Path) -> None:
    names = [line.split("  ")[1] for line in listing.read_text().splitlines()]
    assert names == ["b/two.bin", "one.bin"]
    assert checksums.read(listing) == {listing.parent / name: files.sha256(listing.parent / name) for name in names}


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="needs sha256sum")
def test_sha256sum_reads_it(listing: Path) -> None:
    subprocess.run(["sha256sum", "--check", "--quiet", listing.name], cwd=listing.parent, check=True)


def test_an_intact_file_is_its_own_path(listing: Path) -> None:
    assert checksums.verified(listing.parent / "one.bin", listing) == listing.parent / "one.bin"


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[500] ^= 1
    path.write_bytes(content)


def flip_and_keep_the_time(path: Path) -> None:
    stat = path.stat()
    flip(path)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (flip, "is damaged"),
        (flip_and_keep_the_time, "is damaged"),
        (lambda path: path.write_bytes(b""), "is damaged"),
        (lambda path: path.write_bytes(path.read_bytes() + b"x"), "is damaged"),
        (Path.unlink, "is missing"),
    ],
)
@pytest.mark.parametrize("hashed_before", [True, False])
def test_a_changed_file_is_named_with_the_remedy(listing: Path, change, message: str, hashed_before: bool) -> None:
    path = listing.parent / "one.bin"
    if hashed_before:
        checksums.verified(path, listing)
    change(path)
    with pytest.raises(UserError) as raised:
        checksums.verified(path, listing)
    assert f"{path} {message}" in str(raised.value)
    assert f"-f {path}" in str(raised.value)


def test_a_file_that_is_not_listed_is_named(listing: Path) -> None:
    other = listing.parent / "other.bin"
    other.touch()
    with pytest.raises(UserError, match=rf"{listing} does not list {other}"):
        checksums.verified(other, listing)


@pytest.mark.parametrize(
    "content", [b"one.bin\n", b"\xff\xfe", b"0123  one.bin\n", b"0" * 64 + b" one.bin\n", b"0" * 64 + b"  \n"]
)
def test_a_damaged_list_is_named(listing: Path, content: bytes) -> None:
    listing.write_bytes(content)
    with pytest.raises(UserError, match=str(listing)):
        checksums.verified(listing.parent / "one.bin", listing)


def test_a_missing_list_is_named(listing: Path) -> None:
    listing.unlink()
    with pytest.raises(UserError, match=f"{listing} is missing"):
        checksums.verified(listing.parent / "one.bin", listing)


def test_a_file_is_hashed_once(listing: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = listing.parent / "one.bin"
    flip(path)
    flip(path)
    read = []
    hashed = files.sha256
    monkeypatch.setattr(files, "sha256", lambda each: read.append(each) or hashed(each))
    for _ in range(3):
        checksums.verified(path, listing)
    assert read == [path]
