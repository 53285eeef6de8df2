"""What a user deleted in MLflow stays deleted, and is named."""

import pytest
from tracked_runs import CLIP_TD, MakeRun, Tracked, client

from vlkd_steps.cli import track
from vlkd_steps.core import files, layout
from vlkd_steps.reporting.experiment_sync import ExperimentSync
from vlkd_steps.tracking.journal import Journal


def test_a_run_deleted_after_the_last_look_is_still_reported(
    make_run: MakeRun, uri: str, tracked: Tracked, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run()
    track.main(["scenes", "--tracking-uri", uri])
    client(uri).delete_run(tracked(uri)[CLIP_TD].info.run_id)
    for _ in range(2):
        track.main(["scenes", "--tracking-uri", uri])
        assert capsys.readouterr().err.endswith(f"skipped, because they were deleted in MLflow: {CLIP_TD}\n")


def test_what_a_user_deleted_stays_deleted(
    make_run: MakeRun, uri: str, tracked: Tracked, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_run()
    make_run(variant="finetune")
    track.main(["scenes", "--tracking-uri", uri])
    client(uri).delete_run(tracked(uri)[CLIP_TD].info.run_id)
    files.write_json(layout.metrics(folder), {"test": {"accuracy": 1.0}})
    capsys.readouterr()
    assert track.main(["scenes", "--tracking-uri", uri]) == 0
    assert CLIP_TD not in tracked(uri)
    assert CLIP_TD in capsys.readouterr().err


def test_a_run_deleted_during_tracking_is_skipped(make_run: MakeRun, uri: str, tracked: Tracked) -> None:
    folder = make_run(end=None)
    make_run(variant="finetune", end=None)
    sync = ExperimentSync("scenes", uri, "finetune")
    sync.update()
    client(uri).delete_run(tracked(uri)[CLIP_TD].info.run_id)
    for place in (folder, make_run(variant="finetune")):
        with Journal(layout.journal(place)) as journal:
            journal.append("end", status="FINISHED", seconds=1)
    sync.update()
    (name, run), *others = tracked(uri).items()
    assert (name, run.info.status, others) == ("finetune 300 s10 scenes_vqa", "FINISHED", [])


def test_a_deleted_experiment_ends_in_what_to_do(
    make_run: MakeRun, uri: str, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run()
    track.main(["scenes", "--tracking-uri", uri])
    client(uri).delete_experiment(client(uri).get_experiment_by_name("scenes").experiment_id)
    assert track.main(["scenes", "--tracking-uri", uri]) == 2
    said = capsys.readouterr().err
    assert f"`MLFLOW_TRACKING_URI={uri} mlflow experiments restore -x 1`" in said
    assert f"`mlflow gc --tracking-uri {uri} --backend-store-uri {uri} --experiment-ids 1`" in said
