import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vlkd_steps.cli import track
from vlkd_steps.core import file_system, files, layout
from vlkd_steps.core.locks import exclusive
from vlkd_steps.reporting.experiment_sync import ExperimentSync
from vlkd_steps.tracking import address, mlflow_sync, polling, records, seen, tracker_lock
from vlkd_steps.tracking.journal import Journal

MakeRun = Callable[..., Path]
Tracked = Callable[..., dict[str, Any]]
CLIP_TD = "clip_td 300 s10 scenes_vqa"


def client(uri: str) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri)


def history(uri: str, run: Any, metric: str) -> list[tuple[int, float]]:
    return sorted((each.step, each.value) for each in client(uri).get_metric_history(run.info.run_id, metric))


def everything(uri: str, runs: dict[str, Any]) -> Any:
    """All that MLflow holds of the runs, but for the random ids."""
    return {
        name: (
            run.info.status, run.info.start_time, run.info.end_time, run.data.params,
            {tag: value for tag, value in run.data.tags.items() if tag not in ("mlflow.runId", mlflow_sync.PARENT)},
            {metric: history(uri, run, metric) for metric in run.data.metrics},
            sorted((item.dataset.name, item.dataset.digest) for item in run.inputs.dataset_inputs),
            sorted(item.path for item in client(uri).list_artifacts(run.info.run_id)),
        )
        for name, run in runs.items()
    }  # fmt: skip


def test_a_run_arrives_complete(
    make_run: MakeRun, make_instances: Callable[[str], None], uri: str, tracked: Tracked, tmp_path: Path
) -> None:
    make_instances("scenes_vqa")
    folder = make_run()
    make_run(variant="finetune")
    assert track.main(["--experiment", "scenes", "--tracking-uri", uri]) == 0
    runs = tracked(uri)
    assert set(runs) == {CLIP_TD, "finetune 300 s10 scenes_vqa"}
    run = runs[CLIP_TD]
    tags = run.data.tags
    for name in ("dataset", "student", "teacher", "method", "variant", "shot", "seed", "git_commit", "split_hash",
                 "feature_key", "duration", "device", "run_key"):  # fmt: skip
        assert tags[name]
    assert run.info.status == "FINISHED"
    assert run.data.params["method.lambda0"] == "10.0"
    assert history(uri, run, "dev/accuracy")[0][0] == 50
    metrics = json.loads(layout.metrics(folder).read_text())
    assert run.data.metrics["test/accuracy"] == metrics["test"]["accuracy"]
    assert run.data.metrics["gain/test/accuracy"] > 0
    assert run.data.metrics["cost/core_hours"] == pytest.approx(11.4 * 2 / 3600, abs=1e-6)
    assert "0.00633 core-hours, 75 % of its CPU time used\n" in tags["mlflow.note.content"]
    assert {item.dataset.name for item in run.inputs.dataset_inputs} == {"scenes_vqa train-300", "scenes_vqa test"}
    contexts = {item.tags[0].value for item in run.inputs.dataset_inputs}
    assert contexts == {"training", "evaluation"}
    links = layout.mlflow_links("scenes").read_text()
    assert json.loads(links.removeprefix("linkToMlflow(")[:-2])["runs"][tags["run_key"]] == run.info.run_id
    assert f"http://127.0.0.1:5000/#/experiments/{run.info.experiment_id}/runs/" in links
    artifacts = Path(client(uri).download_artifacts(run.info.run_id, "", str(tmp_path)))
    assert (artifacts / "config.yaml").read_text() == layout.run_config(folder).read_text()
    table = json.loads((artifacts / "predictions" / "test.json").read_text())
    assert table["columns"][:3] == ["item", "answer", "gold"]
    assert len({row[0] for row in table["data"]}) == 50
    for asked, answer, gold, *_ in table["data"]:
        number = int(asked.rpartition(" q")[2])
        expected = ("red", "two", "yes")[number % 3]
        assert answer == expected
        assert gold == ("none of the classes" if number == 7 else expected)
        assert asked == f"What is in picture {number}? [{gold}] q{number}"
    assert (tmp_path / "mlartifacts" / "scenes").is_dir()


def test_the_second_time_nothing_changes(
    make_run: MakeRun, uri: str, tracked: Tracked, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_run()
    make_run(variant="finetune", end="FAILED")
    track.main(["--experiment", "scenes", "--tracking-uri", uri])
    first = everything(uri, tracked(uri))

    def refuse(*_: object) -> None:
        raise AssertionError("an unchanged run was sent again")

    monkeypatch.setattr(mlflow_sync.MlflowSync, "_send", refuse)
    assert track.main(["--experiment", "scenes", "--tracking-uri", uri]) == 0
    assert everything(uri, tracked(uri)) == first


def test_with_nothing_new_no_run_is_read_and_mlflow_is_not_imported(
    make_run: MakeRun, uri: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run()
    make_run(variant="finetune", end=None)
    track.main(["--experiment", "scenes", "--tracking-uri", uri])
    first = capsys.readouterr().err
    monkeypatch.setattr(records, "read", lambda *_: pytest.fail("a run was read"))
    monkeypatch.setitem(sys.modules, "mlflow", None)  # its import would raise
    assert track.main(["--experiment", "scenes", "--tracking-uri", uri]) == 0
    assert capsys.readouterr().err == first
    assert first.endswith(": 2 runs up to date\n")


@pytest.mark.parametrize("lost", ["the file", "artifacts", "the digest", "the name"])
def test_what_was_lost_in_mlflow_is_written_again_though_nothing_here_changed(
    make_run: MakeRun, uri: str, tracked: Tracked, tmp_path: Path, lost: str
) -> None:
    make_run()
    make_run(variant="finetune")
    track.main(["--experiment", "scenes", "--tracking-uri", uri])
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
    assert track.main(["--experiment", "scenes", "--tracking-uri", uri]) == 0
    assert everything(uri, tracked(uri)) == first


def test_a_run_deleted_after_the_last_look_is_still_reported(
    make_run: MakeRun, uri: str, tracked: Tracked, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run()
    track.main(["--experiment", "scenes", "--tracking-uri", uri])
    client(uri).delete_run(tracked(uri)[CLIP_TD].info.run_id)
    for _ in range(2):
        track.main(["--experiment", "scenes", "--tracking-uri", uri])
        assert capsys.readouterr().err.endswith(f"skipped, because they were deleted in MLflow: {CLIP_TD}\n")


@pytest.mark.parametrize(("experiment", "reference"), [("scenes_vlkd", "bart"), ("a_preset_of_once", "finetune")])
def test_gains_are_over_the_reference_of_the_experiments_preset(
    make_run: MakeRun, uri: str, experiment: str, reference: str
) -> None:
    files.write_text(Path("params.yaml"), "experiment: scenes\n")
    for variant in ("vlkd", "bart", "finetune"):
        make_run(experiment=experiment, variant=variant)
    assert track.main(["--experiment", experiment, "--tracking-uri", uri]) == 0
    found = client(uri)
    runs = found.search_runs([found.get_experiment_by_name(experiment).experiment_id])
    gains = {run.data.tags["variant"] for run in runs if "gain/test/accuracy" in run.data.metrics}
    assert gains == {"vlkd", "bart", "finetune"} - {reference}


def test_a_warning_of_a_run_is_repeated(make_run: MakeRun, uri: str, capsys: pytest.CaptureFixture[str]) -> None:
    files.write_text(layout.metrics(make_run()), '{"test": {"accuracy": "high"}}')
    for _ in range(2):
        track.main(["--experiment", "scenes", "--tracking-uri", uri])
        assert "test.accuracy is high, not a finite number" in capsys.readouterr().err


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


def test_what_is_not_written_is_named_with_its_reason(
    make_run: MakeRun, uri: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE

    make_run()
    make_run(variant="finetune")
    broken = make_run(seed=20)
    layout.journal(broken).write_text("no journal\n")
    send = mlflow_sync.MlflowSync._send

    def refuse(self: Any, client: Any, record: Any, *others: Any) -> None:
        if record.tags["variant"] == "finetune":
            raise MlflowException("too many tags", INVALID_PARAMETER_VALUE)
        send(self, client, record, *others)

    monkeypatch.setattr(mlflow_sync.MlflowSync, "_send", refuse)
    monkeypatch.setattr(mlflow_sync.artifacts, "prediction_sample", lambda *_: 1 / 0)
    for _ in range(2):  # the second tracker tries again
        assert track.main(["--experiment", "scenes", "--tracking-uri", uri]) == 0
        *_, summed, last = said = capsys.readouterr().err.splitlines()
    assert any(line.startswith("no artifacts of ") for line in said)
    assert summed.endswith(": 0 runs up to date")
    assert last == (
        f"not written, or incomplete: {CLIP_TD} (its artifacts: ZeroDivisionError: division by zero), "
        "finetune 300 s10 scenes_vqa (refused by MLflow: too many tags), "
        f"{broken} (no line of its journal can be read)"
    )


def test_a_run_that_mlflow_will_not_create_is_tried_again_only_when_it_changes(
    make_run: MakeRun, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE

    refused = make_run(variant="finetune")
    training = make_run(end=None)
    create, tried = MlflowClient.create_run, []

    def refuse(self: Any, *args: Any, **more: Any) -> Any:
        if more["run_name"] != "finetune 300 s10 scenes_vqa":
            return create(self, *args, **more)
        tried.append(more["run_name"])
        raise MlflowException("no such tag", INVALID_PARAMETER_VALUE)

    monkeypatch.setattr(MlflowClient, "create_run", refuse)
    sync = ExperimentSync("scenes", uri, "finetune")
    with Journal(layout.journal(training)) as journal:
        for step in range(1_000, 1_003):
            journal.append("metrics", step=step, metrics={"loss": 0.5})
            sync.update()
    assert len(tried) == 1
    with Journal(layout.journal(refused)) as journal:
        journal.append("metrics", step=2_000, metrics={"loss": 0.5})
    sync.update()
    assert len(tried) == 2


def test_of_many_that_are_not_written_three_are_named(
    make_run: MakeRun, uri: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in range(10, 15):
        make_run(seed=seed)

    def refuse(*_: object) -> None:
        raise ValueError("a long reason " * 40)

    monkeypatch.setattr(mlflow_sync.artifacts, "write", refuse)
    assert track.main(["--experiment", "scenes", "--tracking-uri", uri]) == 0
    last = capsys.readouterr().err.splitlines()[-1]
    assert [name for name in ("s10", "s11", "s12", "s13", "s14") if f"clip_td 300 {name} " in last] == [
        "s10", "s11", "s12",
    ]  # fmt: skip
    assert last.endswith(" ...) and 2 more")
    assert len(last) < 600


def test_a_lost_memory_of_what_was_sent_costs_nothing(make_run: MakeRun, uri: str, tracked: Tracked) -> None:
    make_run()
    track.main(["--experiment", "scenes", "--tracking-uri", uri])
    first = everything(uri, tracked(uri))
    run_id = tracked(uri)[CLIP_TD].info.run_id
    for tag in (mlflow_sync.SYNCED, mlflow_sync.ARTIFACTS):
        client(uri).delete_tag(run_id, tag)
    track.main(["--experiment", "scenes", "--tracking-uri", uri])
    assert everything(uri, tracked(uri)) == first


def test_a_rerun_continues_the_same_run_and_repeated_steps_count_once(
    make_run: MakeRun, uri: str, tracked: Tracked
) -> None:
    make_run(steps=100, end=None)
    track.main(["--experiment", "scenes", "--tracking-uri", uri])
    killed = tracked(uri)[CLIP_TD]
    assert killed.info.status == "KILLED"
    folder = make_run(steps=100)
    with Journal(layout.journal(folder)) as journal:
        journal.append("start", run_key=killed.data.tags["run_key"], attempt=3, tags={}, params={"method": "other"})
        journal.append("metrics", step=100, metrics={"loss": 0.5})  # the same value as before
        journal.append("metrics", step=110, metrics={"loss": math.nan, "loss/image": math.inf})
        journal.append("end", status="FINISHED", seconds=3700)
    track.main(["--experiment", "scenes", "--tracking-uri", uri])
    (run,) = tracked(uri).values()
    assert run.info.run_id == killed.info.run_id
    assert run.info.status == "FINISHED"
    assert run.data.tags["duration"] == "1:01:51"  # 3,700 s and the 11.4 s of the attempt before
    assert run.data.metrics["cost/seconds"] == pytest.approx(3711.4, abs=0.5)
    assert [step for step, _ in history(uri, run, "train/loss")] == list(range(10, 111, 10))
    assert math.isnan(history(uri, run, "train/loss")[-1][1])
    assert run.data.params["method.name"] == "clip_td"
    track.main(["--experiment", "scenes", "--tracking-uri", uri])
    assert len(history(uri, run, "train/loss")) == 11


def test_of_a_repeated_step_with_another_value_the_later_one_is_the_latest(
    make_run: MakeRun, uri: str, tracked: Tracked
) -> None:
    folder = make_run(steps=20, end=None)
    track.main(["--experiment", "scenes", "--tracking-uri", uri])
    key = tracked(uri)[CLIP_TD].data.tags["run_key"]
    time.sleep(0.01)  # MLflow orders by milliseconds
    with Journal(layout.journal(folder)) as journal:
        journal.append("start", run_key=key, attempt=2)
        journal.append("metrics", step=20, metrics={"loss": 7.0})
    track.main(["--experiment", "scenes", "--tracking-uri", uri])
    (run,) = tracked(uri).values()
    assert run.data.metrics["train/loss"] == 7.0


def test_a_deleted_database_is_made_again(make_run: MakeRun, uri: str, tracked: Tracked, tmp_path: Path) -> None:
    make_run()
    make_run(variant="naive_kd", end=None)
    track.main(["--experiment", "scenes", "--tracking-uri", uri])
    first = everything(uri, tracked(uri))
    elsewhere = f"sqlite:///{tmp_path / 'new' / 'mlflow.db'}"  # MLflow keeps a deleted file open within one process
    (tmp_path / "new").mkdir()
    track.main(["--experiment", "scenes", "--tracking-uri", elsewhere])
    assert everything(elsewhere, tracked(elsewhere)) == first


def test_what_a_user_deleted_stays_deleted(
    make_run: MakeRun, uri: str, tracked: Tracked, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_run()
    make_run(variant="finetune")
    track.main(["--experiment", "scenes", "--tracking-uri", uri])
    client(uri).delete_run(tracked(uri)[CLIP_TD].info.run_id)
    files.write_json(layout.metrics(folder), {"test": {"accuracy": 1.0}})
    capsys.readouterr()
    assert track.main(["--experiment", "scenes", "--tracking-uri", uri]) == 0
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
    track.main(["--experiment", "scenes", "--tracking-uri", uri])
    client(uri).delete_experiment(client(uri).get_experiment_by_name("scenes").experiment_id)
    assert track.main(["--experiment", "scenes", "--tracking-uri", uri]) == 2
    assert "mlflow experiments restore" in capsys.readouterr().err


def test_no_runs_is_a_mistake_that_says_what_to_do(make_run: MakeRun, capsys: pytest.CaptureFixture[str]) -> None:
    assert track.main(["--experiment", "nothing"]) == 2
    assert "vlkd run" in capsys.readouterr().err


@pytest.mark.parametrize("folder", ["mlruns", "file:///mlruns"])
def test_a_folder_as_address_is_a_mistake(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], folder: str
) -> None:
    make_run()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", folder)
    assert track.main(["--experiment", "scenes"]) == 2
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
    assert track.main(["--experiment", "scenes"]) == 0
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


def test_a_broken_file_of_one_run_does_not_affect_the_others(
    make_run: MakeRun, uri: str, tracked: Tracked, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = make_run()
    make_run(variant="finetune")
    layout.predictions(broken, "test").write_bytes(b"PAR1 torn")
    assert track.main(["--experiment", "scenes", "--tracking-uri", uri]) == 0
    assert {run.info.status for run in tracked(uri).values()} == {"FINISHED"}
    assert f"no artifacts of {CLIP_TD}" in capsys.readouterr().err


def test_names_and_values_beyond_mlflows_limits_are_cut(make_run: MakeRun, uri: str, tracked: Tracked) -> None:
    make_run(end=None, extra_params=150, extra_metrics=["loss/what is (the) man's ä?", "x//y", "../up"])
    folder = make_run(variant="finetune", end=None)
    with Journal(layout.journal(folder)) as journal:
        journal.append("start", run_key="long", attempt=1, params={"p" * 300: "v" * 9000}, tags={"t": "v" * 9000})
    assert track.main(["--experiment", "scenes", "--tracking-uri", uri]) == 0
    runs = tracked(uri)
    assert sum(name.startswith("extra.option_") for name in runs[CLIP_TD].data.params) == 150
    assert {"train/loss/what is _the_ man_s ä_", "train/x/_/y", "train/_/up"} <= set(runs[CLIP_TD].data.metrics)
    long = next(run for run in runs.values() if run.data.tags["run_key"] == "long")
    assert long.data.params["p" * 250] == "v" * 6000
    assert len(long.data.tags["t"]) == 8000


def test_a_second_tracker_is_logged_and_ends_with_success(
    make_run: MakeRun, uri: str, tracked: Tracked, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run()
    with exclusive(tracker_lock.path(uri, "scenes")) as holder:
        assert holder is None
        assert track.main(["--experiment", "scenes", "--tracking-uri", uri]) == 0
        assert track.main(["--experiment", "scenes", "--tracking-uri", uri, "--follow"]) == 0
    assert f"another tracker (process {os.getpid()} on " in capsys.readouterr().err
    assert tracked(uri) == {}


def test_the_experiment_has_a_description_and_a_view_of_the_gains(make_run: MakeRun, uri: str) -> None:
    for variant in ("finetune", "clip_td"):
        for shot in (1000, 300):
            make_run(variant=variant, shot=shot)
    track.main(["--experiment", "scenes", "--tracking-uri", uri])
    tags = client(uri).get_experiment_by_name("scenes").tags
    lines = tags["mlflow.note.content"].splitlines()
    assert "Cost so far: 0.0253 core-hours in 4 attempts of 4 runs." in lines
    assert "| shot | finetune | clip_td |" in lines
    assert [line.split("|")[1].strip() for line in lines if line.startswith(("| 3", "| 1"))] == ["300", "1000"]
    view = json.loads(tags["mlflow.sharedViewState.gain-scenes_vqa-vilt_scenes"])
    kinds = [(chart["type"], chart["displayName"]) for chart in view["compareRunCharts"]]
    assert ("BAR", "gain/test/accuracy") in kinds
    assert ("SCATTER", "gain/unseen_pairs/accuracy") in kinds
    sections = {section["uuid"] for section in view["compareRunSections"]}
    assert {chart["metricSectionId"] for chart in view["compareRunCharts"]} <= sections
    assert len(tags["mlflow.sharedViewState.gain-scenes_vqa-vilt_scenes"]) < 20_000  # MLflow's limit


@pytest.mark.usefixtures("subprocess_environment")
@pytest.mark.parametrize("ending", ["stdin", "term", "pid"])
def test_following_shows_runs_while_they_train_and_ends_on_a_signal(
    make_run: MakeRun, uri: str, tracked: Tracked, ending: str
) -> None:
    folder = layout.run("scenes", "scenes_vqa", "vilt_scenes", "clip_td", 300, 10)
    watched = subprocess.Popen(["sleep", "600"])
    command = [
        sys.executable,
        "-m",
        "vlkd_steps.cli.track",
        "--experiment",
        "scenes",
        "--follow",
        "--tracking-uri",
        uri,
    ]
    command += ["--until-pid", str(watched.pid)]
    tracker = subprocess.Popen(command, stdin=subprocess.PIPE)
    try:
        make_run(end=None)
        with Journal(layout.journal(folder)) as journal:
            wait_for(lambda: [run.info.status for run in tracked(uri).values()] == ["RUNNING"])
            journal.append("metrics", step=110, metrics={"loss": 0.25})
            wait_for(lambda: tracked(uri)[CLIP_TD].data.metrics.get("train/loss") == 0.25)
            journal.append("end", status="FINISHED", seconds=5)
        assert tracker.stdin is not None
        if ending == "stdin":
            tracker.stdin.close()
        elif ending == "term":
            tracker.send_signal(signal.SIGTERM)
        else:
            watched.kill()
            watched.wait()
        assert tracker.wait(60) == 0
        assert tracked(uri)[CLIP_TD].info.status == "FINISHED"
    finally:
        for process in (watched, tracker):
            process.kill()
            process.wait()


@pytest.mark.slow
@pytest.mark.usefixtures("subprocess_environment")
def test_trackers_of_two_experiments_on_a_new_database_do_not_meet(
    make_run: MakeRun, tmp_path: Path, tracked: Tracked
) -> None:
    uri = f"sqlite:///{tmp_path / 'fresh.db'}"
    for experiment in ("scenes", "other"):
        for seed in (10, 11):
            make_run(experiment=experiment, seed=seed)
    command = [sys.executable, "-m", "vlkd_steps.cli.track", "--tracking-uri", uri, "--experiment"]
    both = [subprocess.Popen([*command, experiment]) for experiment in ("scenes", "other", "scenes")]
    assert [tracker.wait(120) for tracker in both] == [0, 0, 0]
    assert len(tracked(uri, "scenes")) == len(tracked(uri, "other")) == 2


@pytest.mark.usefixtures("subprocess_environment")
def test_it_stays_light_and_sends_no_telemetry(make_run: MakeRun, uri: str, tmp_path: Path) -> None:
    (make_run() / "model.safetensors").touch()
    code = f"""
import sys
from vlkd_steps.cli import track
assert track.main(["--experiment", "scenes", "--tracking-uri", {uri!r}]) == 0
from mlflow.telemetry.utils import is_telemetry_disabled
print(is_telemetry_disabled(), [name for name in ("torch", "transformers", "open_clip") if name in sys.modules])
"""
    # CI variables switch MLflow's telemetry off by themselves: without them our own setting has to
    environment = {name: value for name, value in os.environ.items() if name not in ("CI", "PYTEST_CURRENT_TEST")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout == "True []\n"
    assert list((tmp_path / "mlartifacts").glob("scenes/*/artifacts/student/MLmodel"))


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.3)
