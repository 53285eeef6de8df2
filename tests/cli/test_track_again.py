"""Tracking again: what is unchanged is neither read nor sent, and what MLflow lost is written anew."""

import math
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tracked_runs import CLIP_TD, MakeRun, Tracked, client, everything

from vlkd_steps.cli import track
from vlkd_steps.core import files, layout
from vlkd_steps.reporting.experiment_sync import ExperimentSync
from vlkd_steps.tracking import mlflow_sync, polling, records, seen
from vlkd_steps.tracking.journal import Journal


def test_the_second_time_nothing_changes(
    make_run: MakeRun, uri: str, tracked: Tracked, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_run()
    make_run(variant="finetune", end="FAILED")
    track.main(["scenes", "--tracking-uri", uri])
    first = everything(uri, tracked(uri))

    def refuse(*_: object) -> None:
        raise AssertionError("an unchanged run was sent again")

    monkeypatch.setattr(mlflow_sync.MlflowSync, "_send", refuse)
    assert track.main(["scenes", "--tracking-uri", uri]) == 0
    assert everything(uri, tracked(uri)) == first


def test_with_nothing_new_no_run_is_read_and_mlflow_is_not_imported(
    make_run: MakeRun, uri: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run()
    make_run(variant="finetune", end=None)
    track.main(["scenes", "--tracking-uri", uri])
    first = capsys.readouterr().err
    monkeypatch.setattr(records, "read", lambda *_: pytest.fail("a run was read"))
    monkeypatch.setitem(sys.modules, "mlflow", None)  # its import would raise
    assert track.main(["scenes", "--tracking-uri", uri]) == 0
    assert capsys.readouterr().err == first
    assert first.endswith(": 2 runs up to date\n")


@pytest.mark.parametrize("lost", ["the file", "artifacts", "the digest", "the name"])
def test_what_was_lost_in_mlflow_is_written_again_though_nothing_here_changed(
    make_run: MakeRun, uri: str, tracked: Tracked, tmp_path: Path, lost: str
) -> None:
    make_run()
    make_run(variant="finetune")
    track.main(["scenes", "--tracking-uri", uri])
    first = everything(uri, tracked(uri))
    run_id = tracked(uri)[CLIP_TD].info.run_id
    if lost == "the file":
        (tmp_path / "mlflow.db").unlink()
    elif lost == "artifacts":
        shutil.rmtree(tmp_path / "mlartifacts" / "scenes" / run_id)
    elif lost == "the digest":
        client(uri).delete_tag(run_id, mlflow_sync.SYNCED)
    else:
        (experiment,) = client(uri).search_experiments(filter_string="name = 'scenes'")
        client(uri).rename_experiment(experiment.experiment_id, "mine")
    assert track.main(["scenes", "--tracking-uri", uri]) == 0
    assert everything(uri, tracked(uri)) == first


def test_a_lost_memory_of_what_was_sent_costs_nothing(make_run: MakeRun, uri: str, tracked: Tracked) -> None:
    make_run()
    track.main(["scenes", "--tracking-uri", uri])
    first = everything(uri, tracked(uri))
    run_id = tracked(uri)[CLIP_TD].info.run_id
    for tag in (mlflow_sync.SYNCED, mlflow_sync.ARTIFACTS):
        client(uri).delete_tag(run_id, tag)
    track.main(["scenes", "--tracking-uri", uri])
    assert everything(uri, tracked(uri)) == first


def test_questions_are_added_when_the_data_arrive_and_kept_when_they_go(
    make_run: MakeRun, make_instances: Callable[[str], None], uri: str, tracked: Tracked, tmp_path: Path
) -> None:
    def items() -> list[str]:
        track.main(["scenes", "--tracking-uri", uri])
        run_id = tracked(uri)[CLIP_TD].info.run_id
        table = tmp_path / "mlartifacts" / "scenes" / run_id / "artifacts" / "predictions" / "test.json"
        return [row[0] for row in files.read_json(table)["data"]]

    make_run()
    assert all(item.startswith("q") for item in items())
    make_instances("scenes_vqa")
    assert all(item.startswith("What is in picture") for item in items())
    shutil.rmtree(tmp_path / "data")
    assert all(item.startswith("What is in picture") for item in items())


def test_more_runs_than_one_answer_holds_are_not_written_twice(
    make_run: MakeRun, uri: str, tracked: Tracked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mlflow_sync, "RUNS_AT_ONCE", 2)
    for seed in (1, 2, 3):
        make_run(seed=seed, steps=20)
        assert track.main(["scenes", "--tracking-uri", uri]) == 0
    assert len(tracked(uri)) == 3  # the reader fails on names that are there twice


def test_a_deleted_database_is_made_again(make_run: MakeRun, uri: str, tracked: Tracked, tmp_path: Path) -> None:
    make_run()
    make_run(variant="naive_kd", end=None)
    track.main(["scenes", "--tracking-uri", uri])
    first = everything(uri, tracked(uri))
    elsewhere = f"sqlite:///{tmp_path / 'new' / 'mlflow.db'}"  # MLflow keeps a deleted file open within one process
    (tmp_path / "new").mkdir()
    track.main(["scenes", "--tracking-uri", elsewhere])
    assert everything(elsewhere, tracked(elsewhere)) == first


def test_between_two_looks_at_everything_only_training_runs_are_looked_at(
    make_run: MakeRun, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_run(variant="finetune")
    training = make_run(end=None)
    looked: list[Path] = []
    stamp = seen.stamp
    monkeypatch.setattr(seen, "stamp", lambda path, reference: looked.append(path) or stamp(path, reference))
    sync, pace = ExperimentSync("scenes", uri, "finetune"), polling.Pace()
    with Journal(layout.journal(training)) as journal:
        assert sync.update(pace) == 2
        monkeypatch.setattr(polling.Pace, "due", False)
        looked.clear()
        journal.append("metrics", step=1_000, metrics={"loss": 0.5})
        assert sync.update(pace) == 1
        assert looked == [training]
    assert sync.update(pace) == 1  # killed, so no end is logged
    assert sync.update(pace) == 0
    layout.journal(folder).write_text(layout.journal(folder).read_text() + "\n")
    looked.clear()
    sync.update()
    assert set(looked) == {folder, training}


def shown(uri: str, tracked: Tracked, metric: str, reference: str = "finetune") -> float:
    """A metric of the default run in MLflow, after tracking again."""
    assert track.main(["scenes", "--tracking-uri", uri, "--reference", reference]) == 0
    return float(tracked(uri)[CLIP_TD].data.metrics[metric])


def evaluated_again(folder: Path, accuracy: float) -> None:
    files.write_json(layout.metrics(folder), {"dev": {"accuracy": accuracy}, "test": {"accuracy": accuracy}})


def test_a_gain_follows_the_reference_run_and_ends_with_it(make_run: MakeRun, uri: str, tracked: Tracked) -> None:
    evaluated_again(make_run(), 50.0)
    reference = make_run(variant="finetune")
    for accuracy in (40.0, 48.0, 30.0):
        evaluated_again(reference, accuracy)
        assert shown(uri, tracked, "gain/test/accuracy") == 50.0 - accuracy
    layout.metrics(reference).unlink()
    assert math.isnan(shown(uri, tracked, "gain/test/accuracy"))
    evaluated_again(reference, 30.0)
    assert shown(uri, tracked, "gain/test/accuracy") == 20.0
    assert tracked(uri)[CLIP_TD].data.metrics["test/accuracy"] == 50.0


def test_a_gain_follows_the_choice_of_the_reference(make_run: MakeRun, uri: str, tracked: Tracked) -> None:
    for variant, accuracy in (("clip_td", 50.0), ("finetune", 40.0), ("naive_kd", 48.0)):
        evaluated_again(make_run(variant=variant), accuracy)
    assert shown(uri, tracked, "gain/test/accuracy") == 10.0
    assert shown(uri, tracked, "gain/test/accuracy", "naive_kd") == 2.0
    assert math.isnan(shown(uri, tracked, "gain/test/accuracy", "clip_td"))


def test_an_older_metrics_json_that_comes_back_is_what_mlflow_shows(
    make_run: MakeRun, uri: str, tracked: Tracked
) -> None:
    folder = make_run()
    path = layout.metrics(folder)
    for predictions in (folder / "predictions").iterdir():
        os.utime(predictions, (1e9, 1e9))
    for written, accuracy in ((1e9 + 20, 60.0), (1e9 + 10, 50.0)):
        evaluated_again(folder, accuracy)
        os.utime(path, (written, written))
        for name in ("dev", "test"):
            assert shown(uri, tracked, f"{name}/accuracy") == accuracy
    former = client(uri).get_metric_history(tracked(uri)[CLIP_TD].info.run_id, "train/loss")
    assert len({(each.step, each.value) for each in former}) == len(former)  # the curves are not sent again


def test_a_metric_that_a_user_added_in_mlflow_stays(make_run: MakeRun, uri: str, tracked: Tracked) -> None:
    folder = make_run()
    track.main(["scenes", "--tracking-uri", uri])
    client(uri).log_metric(tracked(uri)[CLIP_TD].info.run_id, "judged/clarity", 4.0)
    evaluated_again(folder, 50.0)
    assert shown(uri, tracked, "judged/clarity") == 4.0
    assert math.isnan(tracked(uri)[CLIP_TD].data.metrics["test/by_question_type/how many"])
