"""Runs that are not written, or not whole: each is named with its reason, and the others are written."""

from typing import Any

import pytest
from tracked_runs import CLIP_TD, MakeRun, Tracked

from vlkd_steps.cli import track
from vlkd_steps.core import files, layout
from vlkd_steps.reporting.experiment_sync import ExperimentSync
from vlkd_steps.tracking import mlflow_sync
from vlkd_steps.tracking.journal import Journal


def test_a_warning_of_a_run_is_repeated(make_run: MakeRun, uri: str, capsys: pytest.CaptureFixture[str]) -> None:
    files.write_text(layout.metrics(make_run()), '{"test": {"accuracy": "high"}}')
    for _ in range(2):
        track.main(["scenes", "--tracking-uri", uri])
        assert "test.accuracy is high, not a finite number" in capsys.readouterr().err


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
        assert track.main(["scenes", "--tracking-uri", uri]) == 0
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
    assert track.main(["scenes", "--tracking-uri", uri]) == 0
    last = capsys.readouterr().err.splitlines()[-1]
    assert [name for name in ("s10", "s11", "s12", "s13", "s14") if f"clip_td 300 {name} " in last] == [
        "s10", "s11", "s12",
    ]  # fmt: skip
    assert last.endswith(" ...) and 2 more")
    assert len(last) < 600


def test_a_broken_file_of_one_run_does_not_affect_the_others(
    make_run: MakeRun, uri: str, tracked: Tracked, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = make_run()
    make_run(variant="finetune")
    layout.predictions(broken, "test").write_bytes(b"PAR1 torn")
    assert track.main(["scenes", "--tracking-uri", uri]) == 0
    assert {run.info.status for run in tracked(uri).values()} == {"FINISHED"}
    assert f"no artifacts of {CLIP_TD}" in capsys.readouterr().err


def test_a_description_that_mlflow_refuses_affects_no_run(
    make_run: MakeRun, uri: str, tracked: Tracked, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from mlflow.utils import validation

    monkeypatch.setattr(validation, "MAX_EXPERIMENT_TAG_VAL_LENGTH", 500)  # an older MLflow's is 5,000
    make_run()
    assert track.main(["scenes", "--tracking-uri", uri]) == 0
    assert "MLflow refused mlflow.sharedViewState.means" in capsys.readouterr().err
    assert tracked(uri)[CLIP_TD].info.status == "FINISHED"
