"""The address that runs are written to, and calls that name no runs or no database."""

from pathlib import Path

import pytest
from tracked_runs import CLIP_TD, MakeRun, Tracked

from vlkd_steps.cli import track
from vlkd_steps.core import file_system
from vlkd_steps.tracking import address


def test_no_runs_is_a_mistake_that_says_what_to_do(make_run: MakeRun, capsys: pytest.CaptureFixture[str]) -> None:
    assert track.main(["nothing"]) == 2
    assert "vlkd init" in capsys.readouterr().err


@pytest.mark.parametrize("folder", ["mlruns", "file:///mlruns"])
def test_a_folder_as_address_is_a_mistake(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], folder: str
) -> None:
    make_run()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", folder)
    assert track.main(["scenes"]) == 2
    assert "sqlite:///FILE.db" in capsys.readouterr().err


def test_on_a_shared_file_system_the_database_is_on_this_machine(
    make_run: MakeRun,
    uri: str,
    tracked: Tracked,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    make_run()
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        f"20 1 0:1 / / rw - ext4 /dev/sda rw\n21 20 0:2 / {tmp_path} rw - nfs4 server:/ada rw\n"
        f"22 21 0:3 / {tmp_path}/disk rw - xfs /dev/sdb rw\n"
    )
    monkeypatch.setattr(file_system, "MOUNTINFO", mounts)
    monkeypatch.setenv("VLKD_LOCAL", str(tmp_path / "disk"))
    local = file_system.node_local(tmp_path) / "mlflow.db"
    empty = address.database(uri)
    assert empty is not None
    file_system.make_private(local.parent)
    empty.rename(local)  # an empty schema, to spare the seconds of making one
    assert track.main(["scenes"]) == 0
    assert not (tmp_path / "mlflow.db").exists()
    said = capsys.readouterr().err
    assert f"is on nfs4, where sqlite is not safe: MLflow's file is {local}" in said.splitlines()[0]
    assert set(tracked(f"sqlite:///{local}")) == {CLIP_TD}
    assert (local.parent / "mlartifacts" / "scenes").is_dir()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    assert address.tracking_uri() == "http://127.0.0.1:1"
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    mounts.write_text("20 1 0:1 / / rw - ext4 /dev/sda rw\n")
    assert address.tracking_uri() == address.DEFAULT_URI
