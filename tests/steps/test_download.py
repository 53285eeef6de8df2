import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from vlkd_steps.core import files, layout
from vlkd_steps.core.errors import UserError
from vlkd_steps.sources import http, local, manifest
from vlkd_steps.steps import download


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pets = layout.INCOMING / "pets"
    (pets / "images").mkdir(parents=True)
    (pets / "q.json").write_text("{}")
    (pets / "images" / "1.jpg").write_text("one")
    return tmp_path


def run(source, *more):
    return download.main(["--config", json.dumps({"source": source}), *more])


def test_the_manifest_names_every_file(project):
    assert run(local.incoming("pets")) == 0
    manifest = json.loads(layout.raw_manifest("pets").read_text())
    assert manifest["source"] == "pets"
    assert manifest["files"] == {
        "images/1.jpg": files.sha256(layout.INCOMING / "pets/images/1.jpg"),
        "q.json": files.sha256(layout.INCOMING / "pets/q.json"),
    }


def test_the_files_are_on_the_disk_before_their_manifest(project, monkeypatch):
    staging, flushed = layout.raw("pets").with_name(".pets.staging"), []
    flush = manifest.flush

    def watched(folder: Path) -> None:
        flush(folder)
        flushed.extend(path.name for path in staging.rglob("*") if path.is_file())

    monkeypatch.setattr(manifest, "flush", watched)
    assert run(local.incoming("pets")) == 0
    assert sorted(flushed) == ["1.jpg", "q.json"]


def test_the_folder_is_replaced_whole(project):
    run(local.incoming("pets"))
    (layout.INCOMING / "pets" / "q.json").rename(layout.INCOMING / "pets" / "p.json")
    run(local.incoming("pets"))
    assert {path.name for path in layout.raw("pets").iterdir()} == {"images", "manifest.json", "p.json"}
    assert {path.name for path in layout.raw("pets").parent.iterdir()} == {"pets", ".pets.lock"}


@pytest.mark.parametrize("there", [True, False])
def test_a_link_is_replaced_with_a_folder(project, there: bool):
    """As often as wanted, and what it points to stays."""
    elsewhere = project / "big"
    if there:
        elsewhere.mkdir()
        (elsewhere / "mine").touch()
    for _ in range(2):
        layout.raw("pets").parent.mkdir(parents=True, exist_ok=True)
        if layout.raw("pets").is_dir() and not layout.raw("pets").is_symlink():
            shutil.rmtree(layout.raw("pets"))
        layout.raw("pets").symlink_to(elsewhere)
        assert run(local.incoming("pets")) == 0
        assert not layout.raw("pets").is_symlink()
        assert {path.name for path in layout.raw("pets").parent.iterdir()} == {"pets", ".pets.lock"}
    assert not there or (elsewhere / "mine").is_file()


def test_a_failure_leaves_what_was_there(project, capsys):
    run(local.incoming("pets"))
    assert run(local.incoming("pets") | {"files": ["*.json", "*.jsonl"]}) == 2
    assert "error: source 'pets': no file matches '*.jsonl'" in capsys.readouterr().err
    assert layout.raw_manifest("pets").is_file()
    assert {path.name for path in layout.raw("pets").parent.iterdir()} == {"pets", ".pets.lock"}


def test_an_unknown_kind_is_explained_and_logged(project, capsys):
    assert run({"name": "pets", "kind": "ftp"}, "--log", "logs/download.log") == 2
    assert "source 'pets', kind: there is no source 'ftp'" in capsys.readouterr().err
    assert "there is no source 'ftp'" in (project / "logs/download.log").read_text()


def test_data_steps_import_nothing_heavy(root):
    """torch and transformers cost five CPU-seconds an import; these steps run dozens of times."""
    code = (
        "import sys, importlib\n"
        "for name in ('steps.download', 'steps.prepare', 'steps.split', 'sources.scenes', 'sources.pypi',"
        " 'sources.local', 'sources.http', 'datasets.vqa_v2', 'datasets.snli_ve', 'datasets.captions'):\n"
        "    importlib.import_module(f'vlkd_steps.{name}')\n"
        "print(sorted({'torch', 'transformers', 'open_clip', 'mlflow', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", ["", ".", "..", "../other", "/tmp/x", "a/b", ".hidden", "a\\b", "x" * 300, None, 3])
def test_a_source_writes_nowhere_but_in_its_folder(project, capsys, name):
    run(local.incoming("pets"))
    before = sorted(path.as_posix() for path in project.rglob("*"))
    assert run(local.incoming("pets") | {"name": name}) == 2
    assert "error: source.name is" in capsys.readouterr().err
    assert sorted(path.as_posix() for path in project.rglob("*")) == before


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([{"url": "http://h/a", "path": "../../../f"}], "source.files.0.path is '../../../f'"),
        ([{"url": "http://h/a", "path": "f", "retries": -1}], "source.files.0.retries is -1"),
        ([{"url": "http://h/a", "path": "f"}, {"url": "http://h/b", "path": "f"}], "'f' appears twice"),
        ([{"url": "http://h/a", "path": "manifest.json"}], "source.files.0.path is 'manifest.json'"),
        ([{"url": "http://ada:hunter2@h/a", "path": "f"}], "source.files.0.url is 'http://h/a'"),
        ([{"url": "http://ada:hunter2@h/a", "path": "f"}, 3], "source.files.1 is 3"),
    ],
)
def test_a_web_source_that_cannot_be_is_refused_before_a_request(project, capsys, files, message):
    assert run({"name": "web", "kind": "http", "files": files}) == 2
    err = capsys.readouterr().err
    assert message in err
    assert "hunter2" not in err


def test_a_file_of_the_users_is_not_taken_for_the_list_of_checksums(project, capsys):
    (layout.INCOMING / "pets" / "manifest.json").write_text("{}")
    assert run(local.incoming("pets")) == 2
    assert "source 'pets' has a file manifest.json" in capsys.readouterr().err
    assert not layout.raw("pets").exists()


WEB = {"name": "web", "kind": "http", "files": [{"url": "http://h/a?token=1", "path": "a"}]}


@pytest.fixture
def fetched(project, monkeypatch):
    """WEB was downloaded, Snakemake has deleted its manifest, whose text this is, and there is no server now."""

    def fetch(source, folder):
        (folder / "a").write_text("A")
        files.write_json(layout.checksums("web"), {"http://h/a": "0" * 64})

    def fail(source, folder):
        raise UserError("no server")

    monkeypatch.setattr(http, "fetch", fetch)
    assert run(WEB) == 0
    monkeypatch.setattr(http, "fetch", fail)
    text = layout.raw_manifest("web").read_text()
    layout.raw_manifest("web").unlink()
    return text


@pytest.mark.parametrize(
    "edit", [{}, {"limit_gib": 9}, {"files": [{"url": "http://h/a?token=2", "path": "a", "retries": 0}]}]
)
def test_what_was_fetched_is_not_fetched_again_after_an_edit_that_changes_no_file(fetched, edit):
    assert run(WEB | edit) == 0
    assert layout.raw_manifest("web").read_text() == fetched


def test_an_edit_that_cannot_be_fetched_may_be_taken_back(fetched):
    more = {"url": "http://h/b", "path": "b"}
    assert run(WEB | {"files": [*WEB["files"], more]}) == 2
    assert not layout.raw_manifest("web").exists()
    assert run(WEB) == 0
    assert layout.raw_manifest("web").read_text() == fetched


def test_where_a_link_leads_nothing_is_written(fetched, project):
    layout.raw("web").rename(project / "big")
    layout.raw("web").symlink_to(project / "big")
    assert run(WEB) == 2
    assert [path.name for path in (project / "big").iterdir()] == ["a"]


@pytest.mark.parametrize("fault", ["damaged", "deleted", "one more", "another checksum", "not trusted any more"])
def test_files_other_than_those_that_were_fetched_are_fetched_again(fetched, capsys, fault):
    source = WEB
    if fault == "damaged":
        (layout.raw("web") / "a").write_text("B")
    elif fault == "deleted":
        (layout.raw("web") / "a").unlink()
    elif fault == "one more":
        (layout.raw("web") / "b").touch()
    elif fault == "another checksum":
        source = WEB | {"files": [WEB["files"][0] | {"sha256": "1" * 64}]}
    else:
        layout.checksums("web").unlink()
    assert run(source) == 2
    assert "no server" in capsys.readouterr().err


HOLD = """
import pathlib, sys, time
from vlkd_steps.core import locks
with locks.exclusive(pathlib.Path(sys.argv[1])) as holder:
    print(holder, flush=True)
    time.sleep(2)
"""


def test_a_second_one_waits_for_the_first(project, root, capsys: pytest.CaptureFixture):
    """Such as a step that goes on after its Snakemake was killed."""
    lock = layout.raw("pets").with_name(".pets.lock")
    command = [sys.executable, "-c", HOLD, str(lock)]
    first = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(root)})
    assert first.stdout is not None
    assert first.stdout.readline() == "None\n"
    assert run(local.incoming("pets")) == 0
    assert first.wait(20) == 0
    assert f"waits for process {first.pid}" in capsys.readouterr().err
