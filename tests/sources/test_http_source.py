"""Against a real server on this machine that breaks off, resumes, changes the file."""

import hashlib
import http.server
import io
import json
import threading
import zipfile

import pytest

from vlkd_steps import layout
from vlkd_steps.errors import UserError
from vlkd_steps.sources import http as room

CONTENT = bytes(range(256)) * 2000
SHA = hashlib.sha256(CONTENT).hexdigest()


class Server(http.server.ThreadingHTTPServer):
    """Serves `content` with an ETag; the first `breaks` answers end after half of what they promise."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.etag, self.breaks, self.ranges = CONTENT, '"one"', 0, True
        self.asked: list[str | None] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}/file.bin"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        server.asked.append(self.headers.get("Range"))
        start = 0
        if self.headers.get("Range") and server.ranges and self.headers.get("If-Range") == server.etag:
            start = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
        data = server.content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("ETag", server.etag)
        self.end_headers()
        if server.breaks > 0:
            server.breaks -= 1
            data = data[: len(data) // 2]
        self.wfile.write(data)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    monkeypatch.setenv("NO_PROXY", "*")
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def fetch(server, folder, **item):
    source = {"name": "web", "kind": "http", "files": [{"url": server.url, "path": "file.bin", "sha256": SHA, **item}]}
    folder.mkdir(exist_ok=True)
    room.fetch(source, folder)
    return folder / item.get("path", "file.bin")


def test_a_file_is_fetched_and_checked(server, tmp_path):
    assert fetch(server, tmp_path / "raw").read_bytes() == CONTENT
    assert server.asked == [None]
    assert not layout.checksums("web").exists()


def test_a_broken_transfer_goes_on_where_it_stopped(server, tmp_path):
    server.breaks = 2
    assert fetch(server, tmp_path / "raw").read_bytes() == CONTENT
    starts = [int(asked.strip("bytes=-")) for asked in server.asked[1:]]
    assert server.asked[0] is None
    assert len(CONTENT) / 4 < starts[0] <= len(CONTENT) / 2 < starts[1] <= len(CONTENT) * 3 / 4


def test_a_file_that_changed_meanwhile_begins_again(server, tmp_path):
    server.breaks = 1
    with pytest.raises(UserError, match=r"cannot be downloaded .*what has arrived is kept: try again later"):
        fetch(server, tmp_path / "raw", retries=0)
    server.content, server.etag = b"new", '"two"'
    made = fetch(server, tmp_path / "raw", sha256=hashlib.sha256(b"new").hexdigest())
    assert made.read_bytes() == b"new"


def test_a_server_without_ranges_begins_again(server, tmp_path):
    server.breaks, server.ranges = 1, False
    assert fetch(server, tmp_path / "raw").read_bytes() == CONTENT


def test_an_interrupted_download_is_taken_up_by_the_next_call(server, tmp_path):
    server.breaks = 1
    with pytest.raises(UserError, match="cannot be downloaded"):
        fetch(server, tmp_path / "raw", retries=0)
    assert fetch(server, tmp_path / "raw", retries=0).read_bytes() == CONTENT
    assert server.asked[1] is not None
    assert len(server.asked) == 2


def test_another_file_than_expected_is_refused(server, tmp_path):
    server.content = b"other"
    with pytest.raises(UserError, match=rf"is not the file that is expected, sha256 {SHA}"):
        fetch(server, tmp_path / "raw", retries=0)
    assert not (tmp_path / "raw" / "file.bin").exists()


def test_trust_on_first_use_is_recorded_and_held(server, tmp_path):
    fetch(server, tmp_path / "raw", sha256=None)
    assert json.loads(layout.checksums("web").read_text()) == {server.url: SHA}
    fetch(server, tmp_path / "again", sha256=None)
    server.content = b"other"
    with pytest.raises(UserError, match=r"delete the entry in data/checksums/web\.json"):
        fetch(server, tmp_path / "third", sha256=None, retries=0)


def test_zips_are_unpacked_in_place(server, tmp_path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as out:
        out.writestr("train/1.txt", "one")
    server.content = buffer.getvalue()
    fetch(server, tmp_path / "raw", path="train.zip", sha256=None, unpack=True)
    assert [path.as_posix() for path in (tmp_path / "raw").rglob("*.*")] == [f"{tmp_path}/raw/train/1.txt"]


def test_no_server_and_no_space(server, tmp_path):
    server.url = "http://127.0.0.1:9/file.bin"
    with pytest.raises(UserError, match=r"source 'web': http://127.0.0.1:9/file\.bin cannot be downloaded"):
        fetch(server, tmp_path / "raw", retries=0)
    with pytest.raises(UserError, match="GiB are free; make room"):
        fetch(server, tmp_path / "raw", bytes=1 << 60)
