"""Several files of a source: at once, named by a list, and what is unpacked from them."""

import io
import json
import threading
import zipfile
from types import SimpleNamespace

import hf_files
import pytest
from file_server import CONTENT, fetch, fetch_all

from vlkd_steps.core import layout
from vlkd_steps.core.errors import UserError
from vlkd_steps.sources import archive, manifest
from vlkd_steps.sources import http as http_source
from vlkd_steps.steps import download


def many(server, number):
    server.files = {f"/{n}.bin": bytes([n]) * 1000 for n in range(number)}
    url = server.url.removesuffix("/file.bin")
    return [{"url": f"{url}/{n}.bin", "path": f"{n}.bin", "sha256": None} for n in range(number)]


def test_several_files_are_fetched_at_once(server, tmp_path):
    (tmp_path / "raw").mkdir()
    http_source.fetch({"name": "web", "files": many(server, 8), "parallel": 4}, tmp_path / "raw")
    assert {path.name: path.read_bytes()[:1] for path in (tmp_path / "raw").iterdir()} == {
        f"{n}.bin": bytes([n]) for n in range(8)
    }
    assert 1 < server.most_at_once <= 4
    assert len(json.loads(layout.checksums("web").read_text())) == 8


def test_one_file_that_cannot_be_had_ends_the_others(server, tmp_path):
    items = many(server, 8)
    server.mishaps = [404]
    (tmp_path / "raw").mkdir()
    with pytest.raises(UserError, match=r"cannot be downloaded .*404"):
        http_source.fetch({"name": "web", "files": items, "parallel": 1}, tmp_path / "raw")
    assert len(server.requested) <= 2
    assert list((tmp_path / "raw").iterdir()) == []


def test_the_file_that_failed_is_named_and_not_those_given_up_for_it(server, tmp_path):
    failed = threading.Event()

    def answer(handler):
        if handler.path == "/missing":
            handler.send_error(404)
            failed.set()
            return
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        handler.wfile.write(bytes(500))
        failed.wait(5)
        for _ in range(50):
            server.over.wait(0.01)
            handler.wfile.write(bytes(1))

    server.answer = answer
    url = server.url.removesuffix("/file.bin")
    items = [{"url": f"{url}/{name}", "path": name, "retries": 0} for name in ("large", "missing")]
    (tmp_path / "raw").mkdir()
    with pytest.raises(UserError, match=r"/missing cannot be downloaded .*404"):
        http_source.fetch({"name": "web", "files": items}, tmp_path / "raw")


def test_what_arrived_from_an_address_that_was_corrected_since_is_not_used(server, tmp_path):
    """Without a published checksum, it would be recorded as the content of the new address."""
    known = {"/v1/a.json": b"old", "/v2/a.json": b"new", "/b.json": b"other"}

    def answer(handler):
        content = known.get(handler.path, b"")
        handler.send_response(200 if content else 404)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    def fetched(first, second):
        url = server.url.removesuffix("/file.bin")
        items = [{"url": url + first, "path": "a.json"}, {"url": url + second, "path": "b.json"}]
        http_source.fetch({"name": "web", "files": items, "parallel": 1}, tmp_path / "raw")

    server.answer = answer
    (tmp_path / "raw").mkdir()
    with pytest.raises(UserError, match=r"/missing cannot be downloaded"):
        fetched("/v1/a.json", "/missing")
    fetched("/v2/a.json", "/b.json")
    assert (tmp_path / "raw" / "a.json").read_bytes() == b"new"
    recorded = json.loads(layout.checksums("web").read_text())
    assert {url.removeprefix(server.url.removesuffix("/file.bin")) for url in recorded} == {"/v2/a.json", "/b.json"}


def test_files_that_a_list_names_are_fetched_after_it(server, tmp_path):
    url = server.url.removesuffix("/file.bin")
    records = [{"coco_url": f"{url}/{n}.bin", "file_name": f"{n}.jpg"} for n in range(3)]
    many(server, 3)
    server.files["/list.json"] = json.dumps({"images": records}).encode()
    listed = {"in": "list.json", "key": "images", "url": "coco_url", "name": "file_name", "folder": "images"}
    source = {"name": "web", "files": [{"url": f"{url}/list.json", "path": "list.json"}], "listed": listed}
    fetch_all(source, tmp_path / "raw")
    assert (tmp_path / "raw" / "images" / "2.jpg").read_bytes() == bytes([2]) * 1000
    server.files["/list.json"] = json.dumps({"images": [{**records[0], "file_name": "../evil"}]}).encode()
    layout.checksums("web").unlink()
    for _ in range(2):  # the list is fetched again each time
        with pytest.raises(UserError, match=r"images\[0\]\.file_name: '\.\./evil' is no plain file name"):
            http_source.fetch(source, tmp_path / "raw")
    assert server.requested == [None] * 6


@pytest.mark.parametrize("names", [["a.jpg", "a.jpg"], ["list.json"], ["a\0b"], ["x" * 300], [""], ["a/b"], ["\\a"]])
def test_a_list_cannot_name_a_file_twice_or_elsewhere(server, tmp_path, names):
    url = server.url.removesuffix("/file.bin")
    images = [{"coco_url": f"{url}/list.json", "file_name": name} for name in names]
    server.files["/list.json"] = json.dumps({"images": images}).encode()
    listed = {"in": "list.json", "key": "images", "url": "coco_url", "name": "file_name", "folder": "."}
    source = {"name": "web", "files": [{"url": f"{url}/list.json", "path": "list.json"}], "listed": listed}
    (tmp_path / "raw").mkdir()
    with pytest.raises(UserError, match=r"images\[\d\]\.file_name: .*(no plain file name|already names another file)"):
        http_source.fetch(source, tmp_path / "raw")


def test_zips_are_unpacked_in_place(server, tmp_path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as out:
        out.writestr("train/1.txt", "one")
    server.content = buffer.getvalue()
    fetch(server, tmp_path / "raw", path="train.zip", sha256=None, unpack=True)
    assert [path.as_posix() for path in (tmp_path / "raw").rglob("*.*")] == [f"{tmp_path}/raw/train/1.txt"]


def test_a_damaged_zip_is_neither_trusted_nor_kept(server, tmp_path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as out:
        out.writestr("train/1.txt", "one")
    server.content = buffer.getvalue()[:-30]
    with pytest.raises(UserError, match="is not a complete zip file"):
        fetch(server, tmp_path / "raw", path="train.zip", sha256=None, unpack=True)
    assert not layout.checksums("web").exists()
    server.content = buffer.getvalue()
    fetch(server, tmp_path / "raw", path="train.zip", sha256=None, unpack=True)
    assert (tmp_path / "raw/train/1.txt").read_text() == "one"


def test_what_has_arrived_needs_no_space_again(server, tmp_path, monkeypatch):
    server.breaks = 1
    with pytest.raises(UserError, match="cannot be downloaded"):
        fetch(server, tmp_path / "raw", bytes=len(CONTENT), retries=0)
    half = layout.arriving("web").joinpath("file.bin.part").stat().st_size
    free = len(CONTENT) - half
    for lacking in (1, 0):
        monkeypatch.setattr(
            archive.shutil, "disk_usage", lambda folder, left=free - lacking: SimpleNamespace(free=left)
        )
        if lacking:
            with pytest.raises(UserError, match="free some space"):
                fetch(server, tmp_path / "raw", bytes=len(CONTENT))
    assert fetch(server, tmp_path / "raw", bytes=len(CONTENT)).read_bytes() == CONTENT


@pytest.mark.parametrize("stopped", [manifest, download])
def test_a_stop_before_the_raw_folder_is_whole_loses_no_file(server, tmp_path, monkeypatch, stopped):
    """Hashing COCO's images takes minutes, in which nothing is published yet."""

    def stop(*arguments):
        raise KeyboardInterrupt

    conf = {"name": "web", "kind": "http", "files": [{"url": server.url, "path": "file.bin"}]}
    with monkeypatch.context() as patched:
        patched.setattr(stopped, "write" if stopped is manifest else "replace", stop)
        assert download.main(["--config", json.dumps({"source": conf})]) == 130
    assert download.main(["--config", json.dumps({"source": conf})]) == 0
    assert server.requested == [None]
    assert (layout.raw("web") / "file.bin").read_bytes() == CONTENT
    assert not layout.arriving("web").exists()


def test_a_file_does_not_replace_a_member_of_a_zip(server, tmp_path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as out:
        out.writestr("a.json", "one")
    server.files = {"/a.zip": buffer.getvalue(), "/a.json": b"two"}
    url = server.url.removesuffix("/file.bin")
    items = [{"url": f"{url}/a.json", "path": "a.json"}, {"url": f"{url}/a.zip", "path": "a.zip", "unpack": True}]
    (tmp_path / "raw").mkdir()
    with pytest.raises(UserError, match=r"path is 'a\.json', and another file of this source"):
        http_source.fetch({"name": "web", "files": items}, tmp_path / "raw")


def test_images_inside_a_parquet_file_become_files(server, tmp_path):
    server.content = hf_files.write(tmp_path / "x.parquet", {"image": [hf_files.image(1)]}).read_bytes()
    fetch(server, tmp_path / "raw", path="data/train.parquet", sha256=None, unpack=True)
    (image,) = (tmp_path / "raw").glob("images/*/*.png")
    assert image.read_bytes() == hf_files.png(1)
    assert (tmp_path / "raw/data/train.parquet").is_file()
