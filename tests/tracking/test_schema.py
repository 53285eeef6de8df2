"""Files that the installed MLflow cannot work with: real sqlite files, the real MLflow."""

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vlkd_steps.checks import tracking
from vlkd_steps.cli import track, ui
from vlkd_steps.core.locks import exclusive
from vlkd_steps.tracking import schema, tracker_lock

MakeRun = Callable[..., Path]
Tracked = Callable[..., dict[str, Any]]
OLDER, NEWER = "534353b11cbc", "ffffffffffff"


def execute(path: Path, *statements: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as opened:
        for statement in statements:
            opened.execute(statement)
        opened.commit()
    rest(path)


def rest(path: Path) -> None:
    """As if nobody had written to it for a minute."""
    long_ago = time.time() - 60
    os.utime(path, (long_ago, long_ago))


def of_revision(revision: str) -> Callable[[Path], None]:
    return lambda path: execute(path, f"UPDATE alembic_version SET version_num = '{revision}'")


def foreign(path: Path) -> None:
    path.unlink()
    execute(path, "CREATE TABLE notes (a)", "INSERT INTO notes VALUES (1)")


def half_made(path: Path) -> None:
    """As a killed MLflow leaves a new file: some tables of an older revision, and no experiment yet."""
    of_revision(OLDER)(path)
    execute(path, "DELETE FROM experiments", "DROP TABLE datasets")


def text(path: Path) -> None:
    path.write_bytes(b"not a database at all, but long enough to be read as one" * 40)
    rest(path)


def torn(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 3)
    rest(path)


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


FAULTS = {
    "older": (of_revision(OLDER), ["older", OLDER, "mlflow db upgrade"]),
    "newer": (of_revision(NEWER), ["newer", NEWER]),
    "foreign": (foreign, ["notes"]),
    "half made": (half_made, ["is incomplete: MLflow was interrupted", "remove it, or make it again"]),
    "text": (text, ["no sqlite file"]),
    "torn": (torn, ["damaged"]),
    "folder": (folder, ["is no file"]),
}
REBUILT_ALIKE = sorted(FAULTS.keys() - {"torn", "folder"})


@pytest.fixture
def newest() -> str:
    from mlflow.store.db.utils import _get_latest_schema_revision

    return _get_latest_schema_revision()


def test_the_newest_revision_is_mlflows_own(newest: str) -> None:
    assert schema.head(schema.revisions_of_mlflow()) == newest
    assert {OLDER, newest} <= set(schema.revisions_of_mlflow())


@pytest.mark.parametrize("revision", ["SELECT 1", "DELETE FROM alembic_version", "DROP TABLE alembic_version"])
def test_a_file_whose_making_was_interrupted_is_no_older_and_no_foreign_one(
    revision: str, empty_database: Path, tmp_path: Path
) -> None:
    path = tmp_path / "mlflow.db"
    shutil.copyfile(empty_database, path)
    half_made(path)
    execute(path, revision)
    found = schema.fault(path)
    assert found is not None
    assert found.what.startswith(f"{path} is incomplete: ")
    assert not found.upgrade


def test_several_heads_or_none_are_not_judged() -> None:
    assert schema.head({}) is None
    assert schema.head({"a": set(), "b": {"a"}, "c": {"a"}}) is None
    assert schema.head({"a": set(), "b": {"a"}, "c": {"a"}, "d": {"b", "c"}}) == "d"


@pytest.mark.usefixtures("subprocess_environment")
@pytest.mark.parametrize("kind", FAULTS)
def test_one_message_from_track_ui_and_doctor(
    kind: str, make_run: MakeRun, uri: str, newest: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run()
    spoil, words = FAULTS[kind]
    database = tmp_path / "mlflow.db"
    spoil(database)
    before = database.read_bytes() if database.is_file() else None
    if kind in ("older", "newer", "foreign"):
        words = [*words, newest]
    for command in (
        [track.main, "scenes"],
        [track.main, "scenes", "--follow"],
        [ui.main],
    ):
        main, *arguments = command
        assert main(arguments) == 2
        (line,) = capsys.readouterr().err.splitlines()
        for word in [*words, "journals", schema.REBUILD]:
            assert word in line
    (found,) = tracking.check(1)
    assert found.level == "warn"
    assert schema.REBUILD in found.remedy
    assert all(word in found.line() for word in words)
    if before is not None:
        assert database.read_bytes() == before


@pytest.mark.usefixtures("subprocess_environment")
@pytest.mark.parametrize(
    "kind", ["torn", *(pytest.param(kind, marks=pytest.mark.exhaustive) for kind in ("folder", *REBUILT_ALIKE))]
)
def test_it_is_made_again_beside_a_backup(
    kind: str, make_run: MakeRun, uri: str, tracked: Tracked, tmp_path: Path
) -> None:
    make_run()
    make_run(experiment="other")
    database = tmp_path / "mlflow.db"
    spoil, _ = FAULTS[kind]
    spoil(database)
    before = database.read_bytes() if database.is_file() else None
    # In a process of its own: MLflow keeps a database of a relative address open.
    subprocess.run([sys.executable, "-m", "vlkd_steps.cli.track", "--rebuild"], check=True)
    backup = tmp_path / "mlflow.db.backup-1"
    assert (backup.read_bytes() if backup.is_file() else None) == before
    for experiment in ("scenes", "other"):
        assert set(tracked(uri, experiment)) == {"clip_td 300 s10 scenes_vqa"}
    assert tracking.check(1)[0].found.endswith(", 2 runs")


@pytest.mark.slow
@pytest.mark.exhaustive
@pytest.mark.usefixtures("subprocess_environment")
def test_a_file_of_an_older_mlflow_is_backed_up_and_upgraded(
    make_run: MakeRun, uri: str, newest: str, tracked: Tracked, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run()
    path = tmp_path / "mlflow.db"
    path.unlink()
    subprocess.run([sys.executable, "-c", OLD_FILE, str(path), OLDER], check=True, capture_output=True)
    execute(path, "INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage) "
                  "VALUES (7, 'by hand', 'file:///elsewhere', 'active')")  # fmt: skip
    before = path.read_bytes()
    assert track.main(["scenes"]) == 2
    assert f"`{schema.UPGRADE}` backs the file up" in capsys.readouterr().err
    subprocess.run([sys.executable, "-m", "vlkd_steps.cli.track", "--upgrade"], check=True)
    assert (tmp_path / "mlflow.db.backup-1").read_bytes() == before
    assert schema.fault(path) is None
    assert set(tracked(uri)) == {"clip_td 300 s10 scenes_vqa"}
    with contextlib.closing(sqlite3.connect(path)) as opened:
        assert opened.execute("SELECT name FROM experiments WHERE experiment_id = 7").fetchall() == [("by hand",)]
    assert not list(tmp_path.glob(".tmp-*"))


OLD_FILE = """
import sys
from alembic import command
from mlflow.store.db import utils
from mlflow.store.tracking.dbmodels.initial_models import Base
url = f"sqlite:///{sys.argv[1]}"
engine = utils.create_sqlalchemy_engine(url)
Base.metadata.create_all(engine)
config = utils._get_alembic_config(url)
with engine.begin() as connection:
    config.attributes["connection"] = connection
    command.upgrade(config, sys.argv[2])
"""


@pytest.mark.parametrize("kind", ["newer", "foreign", "half made", "text", "older"])
def test_what_cannot_be_upgraded_stays_as_it_was(
    kind: str, make_run: MakeRun, uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    make_run()
    path = tmp_path / "mlflow.db"
    FAULTS[kind][0](path)
    before = path.read_bytes()
    monkeypatch.setattr(schema.sys, "executable", "false")  # MLflow's command fails
    assert track.main(["--upgrade", "--tracking-uri", uri]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert schema.REBUILD in line
    assert ("MLflow cannot upgrade" in line) == (kind == "older")
    assert path.read_bytes() == before
    assert not [*tmp_path.glob("mlflow.db.*"), *tmp_path.glob(".tmp-*")]


def test_an_older_backup_is_kept_and_side_files_move_too(
    make_run: MakeRun, empty_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_run()
    (tmp_path / "mlflow.db.backup-1").write_text("older")
    (tmp_path / "mlflow.db.backup-2-journal").write_text("older still")
    shutil.copyfile(empty_database, tmp_path / "mlflow.db")
    (tmp_path / "mlflow.db-wal").write_text("of the file that is moved")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    assert track.main(["--rebuild"]) == 0
    assert (tmp_path / "mlflow.db.backup-1").read_text() == "older"
    assert (tmp_path / "mlflow.db.backup-3").read_bytes() == empty_database.read_bytes()
    assert (tmp_path / "mlflow.db.backup-3-wal").read_text() == "of the file that is moved"
    assert not (tmp_path / "mlflow.db-wal").exists()


def test_no_rebuild_under_a_tracker_or_of_a_server(
    make_run: MakeRun, uri: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run()
    make_run(experiment="other", end=None)
    before = (tmp_path / "mlflow.db").read_bytes()
    with exclusive(tracker_lock.path(uri, "other")):
        assert track.main(["--rebuild", "--tracking-uri", uri]) == 2
    assert f"process {os.getpid()} on {os.uname().nodename} writes experiment other" in capsys.readouterr().err
    assert track.main(["--rebuild", "--tracking-uri", "http://127.0.0.1:1"]) == 2
    assert (tmp_path / "mlflow.db").read_bytes() == before
    assert not list(tmp_path.glob("mlflow.db.backup*"))


def test_an_empty_file_is_filled(make_run: MakeRun, tmp_path: Path, tracked: Tracked) -> None:
    make_run()
    (tmp_path / "empty.db").touch()
    uri = f"sqlite:///{tmp_path / 'empty.db'}"
    assert schema.fault(tmp_path / "empty.db") is None
    assert track.main(["scenes", "--tracking-uri", uri]) == 0
    assert len(tracked(uri)) == 1


@pytest.mark.slow
def test_a_file_that_another_process_is_making_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    code = f"from mlflow import MlflowClient; MlflowClient(tracking_uri='sqlite:///{path}').search_experiments()"
    maker = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    seen = []
    while maker.poll() is None:
        if (found := schema.fault(path)) is not None:
            seen.append(found)
            break
        time.sleep(0.01)
    schema.check(path)  # raises where what is half made is taken for a foreign file
    assert maker.wait(60) == 0
    assert [found.at_rest for found in seen] == [False]
    assert schema.fault(path) is None
