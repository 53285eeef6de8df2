"""A real server on this machine that breaks off, resumes, changes the file; and a source that is fetched from it."""

import hashlib
import http.server
import shutil
import threading
from collections.abc import Callable

import pytest

from vlkd_steps.core import layout
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
        self.content, self.etag, self.breaks, self.ranges, self.if_range = CONTENT, '"one"', 0, True, True
        self.validator = "ETag"  # the header that `etag` is sent as
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
        same = self.headers.get("If-Range") == server.etag or not server.if_range
        if self.headers.get("Range") and server.ranges and same:
            start = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
        data = server.content[start:]
        self.send_response(206 if start else 200)
        if mishap != "cut":
            self.send_header("Content-Length", str(len(data)))
        if start:
            first = 0 if mishap == "other range" else start
            self.send_header("Content-Range", f"bytes {first}-{len(server.content) - 1}/{len(server.content)}")
        self.send_header(server.validator, server.etag)
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
    fetch_all(source, folder)
    return folder / item.get("path", "file.bin")


def fetch_all(source, folder):
    """Fetch a source, and remove what has arrived, as the step does once its raw folder is whole."""
    folder.mkdir(exist_ok=True)
    http_source.fetch(source, folder)
    shutil.rmtree(layout.arriving(source["name"]))
