"""Against a real server on this machine that breaks off, resumes, changes the file."""

import gzip
import hashlib
import http.server
import io
import json
import os
import signal
import threading
import time
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import hf_files
import pytest
import requests

from vlkd_steps.core import layout
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.interruption import Interrupted
from vlkd_steps.sources import http as http_source

CONTENT = bytes(range(256)) * 2000
SHA = hashlib.sha256(CONTENT).hexdigest()


class Server(http.server.ThreadingHTTPServer):
    """Serves `content` with an ETag; the first `breaks` answers end after half of what they promise.

    `mishaps` come first, one an answer: a status, "stall" (half of the bytes, then silence), "corrupt" (wrong bytes of
    the right number), "cut" (half of the bytes and no length) or "other range".
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.etag, self.breaks, self.ranges = CONTENT, '"one"', 0, True
        self.requested: list[str | None] = []
        self.mishaps: list[int | str] = []
        self.answer: Callable[[Handler], None] | None = None  # instead of all this
        self.files: dict[str, bytes] = {}  # further ones, by path
        self.at_once, self.most_at_once, self.lock = 0, 0, threading.Lock()
        self.over = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_address[1]}/file.bin"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        server.requested.append(self.headers.get("Range"))
        if server.answer is not None:
            server.answer(self)
            return
        mishap = server.mishaps.pop(0) if server.mishaps else None
        if isinstance(mishap, int):
            self.send_response(mishap)
            self.send_header("Retry-After", "0")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if self.path in server.files:
            self.one_of_many(server.files[self.path])
            return
        start = 0
        if self.headers.get("Range") and server.ranges and self.headers.get("If-Range") == server.etag:
            start = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
        data = server.content[start:]
        self.send_response(206 if start else 200)
        if mishap != "cut":
            self.send_header("Content-Length", str(len(data)))
        if start:
            first = 0 if mishap == "other range" else start
            self.send_header("Content-Range", f"bytes {first}-{len(server.content) - 1}/{len(server.content)}")
        self.send_header("ETag", server.etag)
        self.end_headers()
        if mishap == "stall":
            self.wfile.write(data[: len(data) // 2])
            self.wfile.flush()
            server.over.wait(5)
            return
        if mishap == "corrupt":
            data = bytes(len(data))
        if mishap == "cut":
            data = data[: len(data) // 2]
        if server.breaks > 0:
            server.breaks -= 1
            data = data[: len(data) // 2]
        self.wfile.write(data)

    def one_of_many(self, data):
        """Slow enough that others are requested for meanwhile."""
        server = self.server
        with server.lock:
            server.at_once += 1
            server.most_at_once = max(server.most_at_once, server.at_once)
        server.over.wait(0.1)
        with server.lock:
            server.at_once -= 1
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(http_source, "BACKOFF", 0.01)
    monkeypatch.setenv("NO_PROXY", "*")
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.over.set()
        running.shutdown()
        thread.join()


def fetch(server, folder, **item):
    source = {"name": "web", "kind": "http", "files": [{"url": server.url, "path": "file.bin", "sha256": SHA, **item}]}
    folder.mkdir(exist_ok=True)
    http_source.fetch(source, folder)
    return folder / item.get("path", "file.bin")


def test_a_file_is_fetched_and_checked(server, tmp_path):
    assert fetch(server, tmp_path / "raw").read_bytes() == CONTENT
    assert server.requested == [None]
    assert not layout.checksums("web").exists()


def test_a_broken_transfer_resumes_where_it_stopped(server, tmp_path):
    server.breaks = 2
    assert fetch(server, tmp_path / "raw").read_bytes() == CONTENT
    starts = [int(requested.strip("bytes=-")) for requested in server.requested[1:]]
    assert server.requested[0] is None
    assert len(CONTENT) / 4 < starts[0] <= len(CONTENT) / 2 < starts[1] <= len(CONTENT) * 3 / 4


def test_a_file_that_changed_meanwhile_begins_again(server, tmp_path):
    server.breaks = 1
    with pytest.raises(UserError, match=r"cannot be downloaded .*the part that arrived is kept: try again later"):
        fetch(server, tmp_path / "raw", retries=0)
    server.content, server.etag = b"new", '"two"'
    made = fetch(server, tmp_path / "raw", sha256=hashlib.sha256(b"new").hexdigest())
    assert made.read_bytes() == b"new"


def test_a_server_without_ranges_begins_again(server, tmp_path):
    server.breaks, server.ranges = 1, False
    assert fetch(server, tmp_path / "raw").read_bytes() == CONTENT


def test_an_interrupted_download_is_resumed_by_the_next_call(server, tmp_path):
    server.breaks = 1
    with pytest.raises(UserError, match="cannot be downloaded"):
        fetch(server, tmp_path / "raw", retries=0)
    assert fetch(server, tmp_path / "raw", retries=0).read_bytes() == CONTENT
    assert server.requested[1] is not None
    assert len(server.requested) == 2


def test_a_part_is_not_taken_for_the_whole(server, tmp_path):
    """A server may send less than all; without a published checksum it would be trusted and recorded."""

    def part(handler):
        handler.send_response(206)
        handler.send_header("Content-Length", "100")
        handler.send_header("Content-Range", f"bytes 0-99/{len(CONTENT)}")
        handler.end_headers()
        handler.wfile.write(CONTENT[:100])

    server.answer = part
    with pytest.raises(
        UserError, match=rf"cannot be downloaded \(ConnectionError: 100 of {len(CONTENT)} bytes arrived"
    ):
        fetch(server, tmp_path / "raw", sha256=None, retries=0)
    assert not layout.checksums("web").exists()


def test_a_redirection_to_a_file_of_this_machine_is_refused(server, tmp_path):
    def elsewhere(handler):
        handler.send_response(302)
        handler.send_header("Location", "file:///etc/passwd")
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    server.answer = elsewhere
    with pytest.raises(UserError, match=r"cannot be downloaded \(InvalidSchema"):
        fetch(server, tmp_path / "raw", sha256=None)
    assert not (tmp_path / "raw" / "file.bin").exists()


def test_another_file_than_expected_is_refused(server, tmp_path):
    server.content = b"other"
    with pytest.raises(UserError, match=rf"is not the expected file, sha256 {SHA}"):
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


def test_images_inside_a_parquet_file_become_files(server, tmp_path):
    server.content = hf_files.write(tmp_path / "x.parquet", {"image": [hf_files.image(1)]}).read_bytes()
    fetch(server, tmp_path / "raw", path="data/train.parquet", sha256=None, unpack=True)
    (image,) = (tmp_path / "raw").glob("images/*/*.png")
    assert image.read_bytes() == hf_files.png(1)
    assert (tmp_path / "raw/data/train.parquet").is_file()


def test_no_server_and_no_space(server, tmp_path):
    server.url = "http://127.0.0.1:9/file.bin"
    with pytest.raises(UserError, match=r"source 'web': http://127.0.0.1:9/file\.bin cannot be downloaded"):
        fetch(server, tmp_path / "raw", retries=0)
    with pytest.raises(UserError, match="GiB are free; free some space"):
        fetch(server, tmp_path / "raw", bytes=1 << 60)


def test_a_stalled_transfer_is_cut_and_continues(server, tmp_path, monkeypatch):
    monkeypatch.setattr(http_source, "TIMEOUT", (1, 0.2))
    server.mishaps = ["stall"]
    assert fetch(server, tmp_path / "raw").read_bytes() == CONTENT
    assert server.requested[0] is None
    assert len(CONTENT) / 4 < int(server.requested[1].strip("bytes=-")) <= len(CONTENT) / 2


def test_requests_to_an_overloaded_server_are_repeated(server, tmp_path):
    server.mishaps = [503, 429, 500]
    assert fetch(server, tmp_path / "raw").read_bytes() == CONTENT
    assert len(server.requested) == 4


def test_an_address_without_a_file_is_given_up_at_once(server, tmp_path):
    server.mishaps = [404]
    with pytest.raises(UserError, match=r"file\.bin cannot be downloaded .*404.*put the file into data/incoming"):
        fetch(server, tmp_path / "raw")
    assert len(server.requested) == 1


def test_bytes_that_were_changed_on_the_way_are_fetched_again(server, tmp_path):
    server.mishaps = ["corrupt"]
    assert fetch(server, tmp_path / "raw").read_bytes() == CONTENT
    assert server.requested == [None, None]


def test_a_cut_that_the_server_does_not_show_is_seen_by_the_size(server, tmp_path):
    server.mishaps = ["cut"]
    assert fetch(server, tmp_path / "raw", sha256=None, bytes=len(CONTENT)).read_bytes() == CONTENT
    server.mishaps = []
    with pytest.raises(UserError, match=f"the server sends {len(CONTENT)} bytes or more, the source's conf says 7"):
        fetch(server, tmp_path / "again", sha256=None, bytes=7, retries=0)


def test_another_range_than_requested_is_not_joined(server, tmp_path):
    server.breaks, server.mishaps = 1, ["whole", "other range"]
    assert fetch(server, tmp_path / "raw").read_bytes() == CONTENT
    assert [requested is None for requested in server.requested] == [True, False, True]


@pytest.mark.parametrize(
    ("requested", "attempt", "seconds"), [("", 0, 1.0), ("", 3, 8.0), ("", 9, 60.0), ("7", 0, 7.0), ("900", 0, 60.0)]
)
def test_pauses_grow_and_a_server_may_set_its_own(monkeypatch, requested, attempt, seconds):
    monkeypatch.setattr(http_source, "BACKOFF", 1.0)
    response = requests.Response()
    response.headers["Retry-After"] = requested
    assert http_source._pause(requests.HTTPError(response=response), attempt) == seconds


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


def test_files_that_a_list_names_are_fetched_after_it(server, tmp_path):
    url = server.url.removesuffix("/file.bin")
    records = [{"coco_url": f"{url}/{n}.bin", "file_name": f"{n}.jpg"} for n in range(3)]
    many(server, 3)
    server.files["/list.json"] = json.dumps({"images": records}).encode()
    listed = {"in": "list.json", "key": "images", "url": "coco_url", "name": "file_name", "folder": "images"}
    source = {"name": "web", "files": [{"url": f"{url}/list.json", "path": "list.json"}], "listed": listed}
    (tmp_path / "raw").mkdir()
    http_source.fetch(source, tmp_path / "raw")
    assert (tmp_path / "raw" / "images" / "2.jpg").read_bytes() == bytes([2]) * 1000
    server.files["/list.json"] = json.dumps({"images": [{**records[0], "file_name": "../evil"}]}).encode()
    layout.checksums("web").unlink()
    with pytest.raises(UserError, match=r"images\[0\]\.file_name: '\.\./evil' is no plain file name"):
        http_source.fetch(source, tmp_path / "raw")


def sends(*pieces, pause=0.0, **headers):
    """An answer with these pieces of a body, again and again where the last one is an Ellipsis."""

    def answer(handler):
        handler.send_response(int(headers.get("status", 200)))
        for name, value in headers.items():
            if name != "status":
                handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        number = 0
        try:
            while not handler.server.over.wait(pause):
                piece = pieces[min(number, len(pieces) - 1)]
                handler.wfile.write(pieces[-2] if piece is ... else piece)
                number += 1
                if number == len(pieces) and pieces[-1] is not ...:
                    return
        except OSError:  # the client has seen enough
            return

    return answer


def test_an_endless_body_ends_at_the_size_that_the_conf_says(server, tmp_path):
    server.answer = sends(b"x" * 1000, ...)
    with pytest.raises(UserError, match=r"or more, the source's conf says 5000\); correct its conf"):
        fetch(server, tmp_path / "raw", bytes=5000)
    assert len(server.requested) == 1
    assert [path.stat().st_size for path in (tmp_path / "data/raw/.downloads").rglob("*.part")] == []


def test_without_a_size_the_limit_of_the_source_holds(server, tmp_path):
    server.answer = sends(b"x" * 1000, ...)
    source = {"name": "web", "files": [{"url": server.url, "path": "file.bin"}], "limit_gib": 5000 / 2**30}
    with pytest.raises(UserError, match="limit_gib allows 5000"):
        http_source.fetch(source, tmp_path)


def test_a_body_that_is_announced_too_long_is_not_read(server, tmp_path):
    server.answer = sends(b"x", Content_Length="9" * 18)
    with pytest.raises(UserError, match=r"9{18} bytes or more"):
        fetch(server, tmp_path / "raw", bytes=5000)


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "br", "deflate", "identity, gzip"])
def test_bytes_that_are_not_the_files_own_are_refused(server, tmp_path, encoding):
    server.answer = sends(gzip.compress(CONTENT), Content_Encoding=encoding)
    with pytest.raises(UserError, match=f"sends it encoded as '{encoding}', although the plain file was requested"):
        fetch(server, tmp_path / "raw", sha256=None)
    assert len(server.requested) == 1
    assert not layout.checksums("web").exists()


@pytest.mark.parametrize("status", ["204", "304"])
def test_an_answer_without_a_file_is_none(server, tmp_path, status):
    server.answer = sends(b"", status=status)
    with pytest.raises(UserError, match=f"answers {status} instead of sending it"):
        fetch(server, tmp_path / "raw", sha256=None)


@pytest.mark.parametrize("length", ["\u00b2", "-1", "nonsense", "1e3"])
def test_a_length_that_is_none_is_not_believed(server, tmp_path, length):
    server.answer = sends(CONTENT, Content_Length=length)
    assert fetch(server, tmp_path / "raw").read_bytes() == CONTENT


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("pause", [0.02, 60])
def test_a_stop_signal_is_heard_whatever_the_server_does(server, tmp_path, number, pause, monkeypatch):
    monkeypatch.setattr(http_source, "HEARD_WITHIN", 0.05)
    server.answer = sends(b"x", ..., pause=pause)
    timer = threading.Timer(0.3, os.kill, (os.getpid(), number))
    timer.start()
    began = time.monotonic()
    with pytest.raises(Interrupted) as stopped:
        fetch(server, tmp_path / "raw")
    assert stopped.value.exit_status == 128 + number
    assert time.monotonic() - began < 30  # the server pauses for 60 s
    arrived = [path.stat().st_size for path in (tmp_path / "data/raw/.downloads").rglob("*.part")]
    assert arrived if pause == 60 else arrived[0] > 3


@pytest.mark.parametrize(
    ("requested", "least", "most"),
    [
        ("\u00b2", 1, 1), ("-1", 1, 1), ("soon", 1, 1), ("9" * 5000, 60, 60), ("1e9", 1, 1), ("nan", 1, 1),
        ("  7 ", 7, 7),
        (format_datetime(datetime.now(UTC) + timedelta(days=9), usegmt=True), 60, 60),
        (format_datetime(datetime.now(UTC) - timedelta(days=9), usegmt=True), 0, 0),
        ("Mon, 99 Foo 9999 99:99:99 GMT", 1, 1), ("Wed, 21 Oct 0000 07:28:00 GMT", 0, 1),
    ],
    ids=range(11),  # two of them hold the time, and all workers must find the same tests
)  # fmt: skip
def test_nonsense_in_retry_after_is_bounded(monkeypatch, requested, least, most):
    monkeypatch.setattr(http_source, "BACKOFF", 1.0)
    response = requests.Response()
    response.headers["Retry-After"] = requested
    assert least <= http_source._pause(requests.HTTPError(response=response), 0) <= most
    assert http_source._pause(None, 5000) == 60


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


def test_no_token_is_recorded_or_shown(server, tmp_path, caplog):
    conf = {"url": f"{server.url}?token=hunter2&id=1", "path": "file.bin"}
    (tmp_path / "raw").mkdir()
    source = {"name": "web", "files": [conf], "parallel": 1}
    http_source.fetch(source, tmp_path / "raw")
    recorded = json.loads(layout.checksums("web").read_text())
    assert recorded == {f"{server.url}?token=***&id=1": SHA}
    server.content = b"other"
    with pytest.raises(UserError, match=r"is not the expected file") as changed:  # by another token, too
        http_source.fetch({**source, "files": [{**conf, "url": f"{server.url}?token=x&id=1", "retries": 0}]}, tmp_path)
    server.mishaps = [404]
    with pytest.raises(UserError, match=r"404") as missing:
        http_source.fetch({**source, "files": [{**conf, "retries": 0}]}, tmp_path)
    assert "hunter2" not in f"{changed.value} {missing.value} {caplog.text}"
    twice = [conf, {"url": f"{server.url}?token=another&id=1", "path": "b.bin"}]
    with pytest.raises(UserError, match="several files have the address"):
        http_source.fetch({**source, "files": twice}, tmp_path)


def test_a_record_of_an_older_version_is_still_held(server, tmp_path):
    url = f"{server.url}?token=hunter2"
    layout.checksums("web").parent.mkdir(parents=True)
    layout.checksums("web").write_text(json.dumps({url: "0" * 64}))
    with pytest.raises(UserError, match=r"is not the expected file, sha256 0+;"):
        http_source.fetch({"name": "web", "files": [{"url": url, "path": "a", "retries": 0}]}, tmp_path)
    layout.checksums("web").write_text(json.dumps({url: 3}))
    with pytest.raises(UserError, match=r"the entry of .*token=\*\*\* is no sha256"):
        http_source.fetch({"name": "web", "files": [{"url": url, "path": "a"}]}, tmp_path)


def test_a_file_does_not_replace_a_member_of_a_zip(server, tmp_path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as out:
        out.writestr("a.json", "one")
    server.files = {"/a.zip": buffer.getvalue(), "/a.json": b"two"}
    url = server.url.removesuffix("/file.bin")
    items = [{"url": f"{url}/a.json", "path": "a.json"}, {"url": f"{url}/a.zip", "path": "a.zip", "unpack": True}]
    (tmp_path / "raw").mkdir()
    with pytest.raises(UserError, match=r"'a\.json' is also the name of a file in one of its zips"):
        http_source.fetch({"name": "web", "files": items}, tmp_path / "raw")
