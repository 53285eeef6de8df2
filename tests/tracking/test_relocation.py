"""A project that was copied or moved, and its artifacts."""

import contextlib
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vlkd_steps.core import files, layout
from vlkd_steps.tracking import relocation
from vlkd_steps.tracking.records import MEAN_OVER

MakeRun = Callable[..., Path]
CLIP_TD = "clip_td 300 s10 scenes_vqa"


SINGLE = f"WHERE run_uuid NOT IN (SELECT run_uuid FROM tags WHERE key = '{MEAN_OVER}')"  # no parents


def rows(project: Path, query: str) -> list[Any]:
    with contextlib.closing(sqlite3.connect(project / "mlflow.db")) as opened:
        return opened.execute(query).fetchall()


def content(project: Path) -> dict[str, str]:
    return {str(path): files.sha256(path) if path.is_file() else "" for path in sorted(project.rglob("*"))}


def track_here() -> None:
    """In a process of its own: MLflow keeps a database of a relative address open."""
    command = [sys.executable, "-m", "vlkd_steps.cli.track", "scenes"]
    subprocess.run(command, check=True)


@pytest.fixture
def original(
    make_run: MakeRun,
    empty_database: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    subprocess_environment: None,
) -> Path:
    """A tracked project, in a folder whose name has to be quoted in an address."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    project = tmp_path / "the original #1"
    project.mkdir()
    monkeypatch.chdir(project)
    shutil.copyfile(empty_database, project / "mlflow.db")
    make_run()
    track_here()
    return project


def test_a_copy_writes_its_artifacts_into_its_own_folder(
    original: Path, make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = content(original)
    copy = tmp_path / "a copy"
    shutil.copytree(original, copy, symlinks=True)
    monkeypatch.chdir(copy)
    config = layout.run_config(layout.run("scenes", "scenes_vqa", "vilt_scenes", "clip_td", 300, 10))
    config.write_text(config.read_text() + "# changed in the copy\n")
    make_run(variant="finetune")
    track_here()
    assert content(original) == before

    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{copy / 'mlflow.db'}")
    (experiment,) = [each for each in client.search_experiments() if each.name == "scenes"]
    runs = [run for run in client.search_runs([experiment.experiment_id]) if MEAN_OVER not in run.data.tags]
    assert {run.info.run_name for run in runs} == {CLIP_TD, "finetune 300 s10 scenes_vqa"}
    for run in runs:
        place = relocation.local_path(run.info.artifact_uri)
        assert place is not None
        assert place.is_relative_to(copy / "mlartifacts" / "scenes")
        assert Path(client.download_artifacts(run.info.run_id, "config.yaml")).is_file()
    (changed,) = [run for run in runs if run.info.run_name == CLIP_TD]
    assert "# changed in the copy" in Path(client.download_artifacts(changed.info.run_id, "config.yaml")).read_text()
    assert changed.info.run_id in {uuid for (uuid,) in rows(original, "SELECT run_uuid FROM runs")}  # no new run


def test_a_moved_project_continues(original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moved = tmp_path / "moved"
    original.rename(moved)
    monkeypatch.chdir(moved)
    track_here()
    ((uri,),) = rows(moved, f"SELECT artifact_uri FROM runs {SINGLE}")
    place = relocation.local_path(uri)
    assert place is not None
    assert (place / "config.yaml").is_file()
    assert not original.exists()


@pytest.mark.exhaustive
def test_artifacts_that_were_not_copied_are_written_again(
    original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "without"
    shutil.copytree(original, copy, ignore=shutil.ignore_patterns("mlartifacts"))
    monkeypatch.chdir(copy)
    track_here()
    ((run,),) = rows(copy, f"SELECT run_uuid FROM runs {SINGLE}")
    assert (copy / "mlartifacts" / "scenes" / run / "artifacts" / "config.yaml").is_file()


def test_only_what_lay_beside_the_former_file_is_rewritten(original: Path, tmp_path: Path) -> None:
    database = tmp_path / "mlflow.db"
    shutil.copyfile(original / "mlflow.db", database)
    bucket, elsewhere = "s3://bucket/mlartifacts/mine", f"{original}/other/mine"
    with contextlib.closing(sqlite3.connect(database)) as opened:
        opened.execute("UPDATE experiments SET artifact_location = ? WHERE name = 'Default'", (f"{original}/mlruns/0",))
        for identity, location in (("8", bucket), ("9", elsewhere)):
            opened.execute(
                "INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage, workspace) "
                "VALUES (?, ?, ?, 'active', 'default')",
                (identity, f"mine {identity}", location),
            )
        opened.commit()
    assert relocation.relocate(database) == [original]
    assert dict(rows(tmp_path, "SELECT name, artifact_location FROM experiments")) == {
        "Default": f"{tmp_path}/mlruns/0",
        "scenes": (tmp_path / "mlartifacts" / "scenes").as_uri(),
        "mine 8": bucket,
        "mine 9": elsewhere,
    }
    assert relocation.relocate(database) == []


def test_the_same_folder_by_another_name_is_no_other_folder(original: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(original)
    before = (original / "mlflow.db").read_bytes()
    assert relocation.relocate(tmp_path / "link" / "mlflow.db") == []
    assert (original / "mlflow.db").read_bytes() == before


def test_a_file_without_tables_or_none_at_all_is_unchanged(tmp_path: Path) -> None:
    assert relocation.relocate(tmp_path / "mlflow.db") == []
    assert not (tmp_path / "mlflow.db").exists()
    (tmp_path / "mlflow.db").touch()
    assert relocation.relocate(tmp_path / "mlflow.db") == []
    assert (tmp_path / "mlflow.db").stat().st_size == 0
