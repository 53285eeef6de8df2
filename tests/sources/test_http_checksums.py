"""The record of checksums of files that have no published one."""

import json

import pytest
from file_server import SHA, fetch, fetch_all

from vlkd_steps.core import layout
from vlkd_steps.core.errors import UserError
from vlkd_steps.sources import http as http_source


def test_trust_on_first_use_is_recorded_and_held(server, tmp_path):
    fetch(server, tmp_path / "raw", sha256=None)
    assert json.loads(layout.checksums("web").read_text()) == {server.url: SHA}
    fetch(server, tmp_path / "again", sha256=None)
    server.content = b"other"
    with pytest.raises(UserError, match=r"delete the entry in data/checksums/web\.json"):
        fetch(server, tmp_path / "third", sha256=None, retries=0)


def test_no_token_is_recorded_or_shown(server, tmp_path, caplog):
    conf = {"url": f"{server.url}?token=hunter2&id=1", "path": "file.bin"}
    source = {"name": "web", "files": [conf], "parallel": 1}
    fetch_all(source, tmp_path / "raw")
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
