import json
import os
import shutil
import subprocess
import sys

import pytest

from vlkd_steps.core import files, layout
from vlkd_steps.sources import local
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
