"""What a server must not send is refused or not believed, and a stop signal is heard whatever it does."""

import gzip
import os
import signal
import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
import requests
from file_server import CONTENT, SHA, fetch

from vlkd_steps.core import layout
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.interruption import Interrupted
from vlkd_steps.sources import http as http_source


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


@pytest.mark.parametrize("host", ["images..cocodataset.org", f"{'a' * 64}.org"])
def test_a_host_that_cannot_be_is_not_taken_for_another_file(server, tmp_path, host):
    server.url = f"http://{host}/file.bin"
    with pytest.raises(UserError, match=rf"http://{host}/file\.bin names no host .*correct it"):
        fetch(server, tmp_path / "raw", sha256=None)


def test_no_server_and_no_space(server, tmp_path):
    server.url = "http://127.0.0.1:9/file.bin"
    with pytest.raises(UserError, match=r"source 'web': http://127.0.0.1:9/file\.bin cannot be downloaded"):
        fetch(server, tmp_path / "raw", retries=0)
    with pytest.raises(UserError, match="GiB are free; free some space"):
        fetch(server, tmp_path / "raw", bytes=1 << 60)


def test_an_address_without_a_file_is_given_up_at_once(server, tmp_path):
    server.mishaps = [404]
    with pytest.raises(UserError, match=r"file\.bin cannot be downloaded .*404.*put the file into data/incoming"):
        fetch(server, tmp_path / "raw")
    assert len(server.requested) == 1


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
