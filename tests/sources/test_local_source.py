import errno
import hashlib
import os
import zipfile

import pytest

from vlkd_steps.core.errors import UserError
from vlkd_steps.sources import local, manifest


@pytest.fixture
def mine(tmp_path):
    folder = tmp_path / "mine"
    (folder / "images").mkdir(parents=True)
    (folder / "q.json").write_text("{}")
    (folder / "images" / "1.jpg").write_text("one")
    (folder / "images" / ".DS_Store").write_text("x")
    return folder


def conf(folder, **more):
    return {"name": "mine", "kind": "local", "path": str(folder), **more}


def tree(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_without_a_conf_file_everything_incoming_is_taken(mine, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data" / "incoming").mkdir(parents=True)
    mine.rename(tmp_path / "data" / "incoming" / "pets")
    local.fetch(local.incoming("pets"), tmp_path / "raw")
    assert tree(tmp_path / "raw") == {"q.json", "images/1.jpg"}


@pytest.mark.parametrize("transfer", ["copy", "hardlink", "symlink"])
def test_each_kind_of_transfer(mine, tmp_path, transfer):
    local.fetch(conf(mine, files=["images/*.jpg"], transfer=transfer), tmp_path / "raw")
    made = tmp_path / "raw" / "images" / "1.jpg"
    assert tree(tmp_path / "raw") == {"images/1.jpg"}
    assert made.read_text() == "one"
    assert made.is_symlink() == (transfer == "symlink")
    assert made.samefile(mine / "images" / "1.jpg") == (transfer != "copy")


def test_zips_are_unpacked(mine, tmp_path):
    with zipfile.ZipFile(mine / "a.zip", "w") as out:
        out.writestr("a.json", "1")
    local.fetch(conf(mine, files=["*.zip", "*.json"], unpack=["a.zip"]), tmp_path / "raw")
    assert tree(tmp_path / "raw") == {"a.json", "q.json"}
    with pytest.raises(UserError, match=r"unpack names 'b\.zip', which is not among its files"):
        local.fetch(conf(mine, unpack=["b.zip"]), tmp_path / "raw2")


def test_checksums_are_checked_before_anything_is_copied(mine, tmp_path):
    right = hashlib.sha256(b"one").hexdigest()
    local.fetch(conf(mine, sha256={"images/1.jpg": right}), tmp_path / "raw")
    with pytest.raises(UserError, match=rf"q\.json has sha256 .*, its conf expects {right}; fetch the file again"):
        local.fetch(conf(mine, sha256={"q.json": right}), tmp_path / "raw2")
    assert not (tmp_path / "raw2").exists()
    with pytest.raises(UserError, match=r"no\.json has a sha256 in its conf but is not among its files"):
        local.fetch(conf(mine, sha256={"no.json": right}), tmp_path / "raw2")


def test_mistakes_are_explained(mine, tmp_path):
    with pytest.raises(UserError, match=r"the folder .*nowhere does not exist; put the data there, or set `path`"):
        local.chosen(conf(tmp_path / "nowhere"))
    with pytest.raises(UserError, match=r"no file matches '\*\.jsonl' in .*mine; add it, or fix `files`"):
        local.chosen(conf(mine, files=["*.jsonl"]))
    with pytest.raises(UserError, match="transfer is 'move', not copy, hardlink or symlink"):
        local.fetch(conf(mine, transfer="move"), tmp_path / "raw")


def test_data_behind_a_sign_up_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source = {"name": "vcr", "kind": "local", "path": "data/incoming/vcr", "files": ["*.zip"]}
    source |= {"obtain": "Ask its owners.", "expect": {"*.zip": 2}}
    with pytest.raises(UserError, match=r"data/incoming/vcr does not exist; put the data there.*\. Ask its owners\."):
        local.fetch(source, tmp_path / "raw")
    (tmp_path / "data/incoming/vcr").mkdir(parents=True)
    with pytest.raises(UserError, match=r"no file matches '\*\.zip' in data/incoming/vcr.*\. Ask its owners\."):
        local.fetch(source, tmp_path / "raw")
    (tmp_path / "data/incoming/vcr/a.zip").touch()
    with pytest.raises(UserError, match=r"1 files match '\*\.zip', there must be 2; .*not the complete release\. Ask"):
        local.fetch(source, tmp_path / "raw")
    (tmp_path / "data/incoming/vcr/b.zip").touch()
    local.fetch(source, tmp_path / "whole")
    assert len(list((tmp_path / "whole").iterdir())) == 2


@pytest.mark.parametrize("pattern", ["../../secret/*", "/etc/*", "", "**.json", "..\\*", "a\0", "x/../../*"])
def test_a_pattern_stays_in_the_folder(mine, tmp_path, pattern):
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "x").touch()
    for more in ({"files": [pattern]}, {"expect": {pattern: 1}}):
        with pytest.raises(UserError, match="source 'mine': the pattern"):
            local.fetch(conf(mine, **more), tmp_path / "raw")


@pytest.mark.parametrize("transfer", ["copy", "hardlink", "symlink"])
def test_a_link_out_of_the_folder_is_followed_only_if_the_conf_allows_it(mine, tmp_path, transfer):
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "2.jpg").write_text("two")
    (mine / "more").symlink_to(tmp_path / "disk")
    source = conf(mine, files=["more/*"], transfer=transfer)
    with pytest.raises(UserError, match=r"2\.jpg is, or is reached through, a link out of .*write `links: true`"):
        local.fetch(source, tmp_path / "raw")
    assert not (tmp_path / "raw").exists()
    local.fetch(source | {"links": True}, tmp_path / "raw")
    assert (tmp_path / "raw" / "more" / "2.jpg").read_text() == "two"


def test_a_file_does_not_replace_a_member_of_a_zip(mine, tmp_path):
    with zipfile.ZipFile(mine / "a.zip", "w") as out:
        out.writestr("q.json", "other")
    with pytest.raises(UserError, match=r"q\.json.* and another file of this source has that place"):
        local.fetch(conf(mine, unpack=["a.zip"]), tmp_path / "raw")


def test_a_file_is_no_folder_for_another_file(mine, tmp_path):
    with zipfile.ZipFile(mine / "a.zip", "w") as out:
        out.writestr("images", "a file")
    with pytest.raises(UserError, match=r"another file of this source .* is on the way to it"):
        local.fetch(conf(mine, unpack=["a.zip"]), tmp_path / "raw")
    with zipfile.ZipFile(mine / "b.zip", "w") as out:
        out.writestr("images/deep/1.jpg", "one")
    with pytest.raises(UserError, match=r"b\.zip: a member is '1\.jpg'.* is on the way to it"):
        local.fetch(conf(mine, files=["*.zip"], unpack=["*.zip"]), tmp_path / "other")


def test_a_copy_that_fails_is_not_told_to_copy(mine, tmp_path, monkeypatch):
    def refused(source, target):
        raise OSError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(local.shutil, "copyfile", refused)
    with pytest.raises(UserError, match=r"by copy: Permission denied; see that it can be read"):
        local.fetch(conf(mine), tmp_path / "raw")


@pytest.mark.parametrize("more", [{}, {"files": ["**/*.jpg"]}, {"files": ["images/**/*.jpg"]}])
def test_a_link_to_a_folder_is_followed_only_if_the_conf_allows_it(mine, tmp_path, more):
    """``**`` goes past links, so that the folder behind one was left out without a word."""
    disk = tmp_path / "disk" / "deep"
    disk.mkdir(parents=True)
    (disk / "2.jpg").write_text("two")
    (mine / "images" / "photos").symlink_to(tmp_path / "disk")
    source = conf(mine, **more)
    with pytest.raises(UserError, match=r"photos is a link to the folder .*disk; if you made it, write `links: true`"):
        local.fetch(source, tmp_path / "raw")
    local.fetch(source | {"links": True}, tmp_path / "raw")
    assert {"images/1.jpg", "images/photos/deep/2.jpg"} <= tree(tmp_path / "raw")


def test_a_name_that_is_not_utf_8_is_refused_before_anything_is_copied(mine, tmp_path):
    (mine / os.fsdecode(b"caf\xe9.jpg")).touch()
    with pytest.raises(UserError, match=r"source 'mine': the name of the file b'.*caf\\xe9\.jpg' is not UTF-8"):
        local.fetch(conf(mine), tmp_path / "raw")
    assert not (tmp_path / "raw").exists()
    with pytest.raises(UserError, match="is not UTF-8; rename the file"):
        manifest.write(mine, "mine")
    local.fetch(conf(mine, files=["q.json"]), tmp_path / "raw")


def test_links_in_a_circle_have_an_end(mine, tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "back").symlink_to(mine)
    (mine / "photos").symlink_to(tmp_path / "disk")
    with pytest.raises(UserError, match=r"photos/back is a link to the folder .*mine, from which it is reached"):
        local.chosen(conf(mine, links=True))


@pytest.mark.parametrize("more", [{}, {"files": ["images/*.jpg"]}, {"files": ["images/**/*"]}, {"files": ["*/*.jpg"]}])
def test_a_folder_that_may_not_be_read_is_named(mine, closed_folders, more):
    """`glob` leaves such a folder out without a word, and the manifest then said that all was there."""
    (mine / ".Trash").mkdir()
    (mine / "private").mkdir()
    closed_folders |= {mine / ".Trash", mine / "private"}
    assert [path.name for path in local.chosen(conf(mine, files=["images/**/*", "q.json"]))] == ["1.jpg", "q.json"]
    closed_folders.add(mine / "images")
    with pytest.raises(UserError, match=r"mine/(images|private) cannot be read \(Permission denied\); allow it: chmod"):
        local.chosen(conf(mine, **more))


def test_what_is_in_a_hidden_folder_is_left_out(mine):
    (mine / ".git").mkdir()
    (mine / ".git" / "config").touch()
    (mine / ".git" / "link").symlink_to(mine / "images")
    assert [path.name for path in local.chosen(conf(mine))] == ["1.jpg", "q.json"]
