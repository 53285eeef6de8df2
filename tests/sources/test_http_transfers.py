"""A file arrives whole from a server that breaks off, stalls or changes: resumed, or from the beginning."""

import hashlib
import os

import pytest
import requests
from file_server import CONTENT, fetch

from vlkd_steps.core import files, layout
from vlkd_steps.core.errors import UserError
from vlkd_steps.sources import http as http_source


def test_a_file_is_fetched_and_checked(server, tmp_path):
    assert fetch(server, tmp_path / "raw").read_bytes() == CONTENT
    assert server.requested == [None]
    assert not layout.checksums("web").exists()


def test_a_file_is_flushed_before_it_gets_its_name(server, tmp_path, monkeypatch):
    fsync, sizes = os.fsync, []

    def spied(stream):
        sizes.append(os.fstat(stream if isinstance(stream, int) else stream.fileno()).st_size)
        fsync(stream)

    monkeypatch.setattr(os, "fsync", spied)
    fetch(server, tmp_path / "raw")
    assert len(CONTENT) in sizes


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


@pytest.mark.parametrize(
    ("validator", "one", "two"),
    [("ETag", '"one"', '"two"'), ("Last-Modified", "Sat, 01 Mar 2025 10:00:00 GMT", "Sun, 02 Mar 2025 10:00:00 GMT")],
)
def test_two_files_of_one_address_are_not_mixed_where_the_server_knows_no_if_range(
    server, tmp_path, validator, one, two
):
    server.breaks, server.if_range, server.validator, server.etag = 1, False, validator, one
    with pytest.raises(UserError, match="cannot be downloaded"):
        fetch(server, tmp_path / "raw", sha256=None, retries=0)
    server.content, server.etag = bytes(reversed(CONTENT)), two
    assert fetch(server, tmp_path / "raw", sha256=None, retries=1).read_bytes() == server.content
    assert [requested is None for requested in server.requested] == [True, False, True]


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


def test_a_stop_between_two_files_of_one_address_mixes_nothing(server, tmp_path, monkeypatch):
    """The first bytes of the old file must not be there once the state is the new one's."""
    server.breaks = 1
    with pytest.raises(UserError, match="cannot be downloaded"):
        fetch(server, tmp_path / "raw", sha256=None, retries=0)
    server.content, server.etag = bytes(reversed(CONTENT)), '"two"'
    write = files.write_json

    def stopped(path, value):
        write(path, value)
        if path.name.endswith(".part.json"):
            raise OSError("killed")

    with monkeypatch.context() as patched:
        patched.setattr(files, "write_json", stopped)
        with pytest.raises(UserError):
            fetch(server, tmp_path / "raw", sha256=None, retries=0)
    assert fetch(server, tmp_path / "raw", sha256=None).read_bytes() == server.content


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


@pytest.mark.parametrize(
    ("requested", "attempt", "seconds"), [("", 0, 1.0), ("", 3, 8.0), ("", 9, 60.0), ("7", 0, 7.0), ("900", 0, 60.0)]
)
def test_pauses_grow_and_a_server_may_set_its_own(monkeypatch, requested, attempt, seconds):
    monkeypatch.setattr(http_source, "BACKOFF", 1.0)
    response = requests.Response()
    response.headers["Retry-After"] = requested
    assert http_source._pause(requests.HTTPError(response=response), attempt) == seconds


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
