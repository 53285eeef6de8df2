"""The parent runs in MLflow: one for the seeds of each condition."""

import json
import math
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from vlkd_steps.cli import track
from vlkd_steps.core import files, layout
from vlkd_steps.evaluation.summary import table
from vlkd_steps.tracking import mlflow_sync
from vlkd_steps.tracking.journal import Journal

MakeRun = Callable[..., Path]
Tracked = Callable[..., dict[str, Any]]
NAME = "clip_td 300 scenes_vqa"


def synced(uri: str) -> None:
    assert track.main(["scenes", "--tracking-uri", uri]) == 0


def accuracy(folder: Path) -> float:
    return float(json.loads(layout.metrics(folder).read_text())["test"]["accuracy"])


def compared(keys: Mapping[tuple[str, int], str], gain: float) -> None:
    """summary.csv and gains.csv of runs of these keys, by variant and seed."""
    cell = {"dataset": "scenes_vqa", "student": "vilt_scenes"}
    on = {"shot": "300", "evaluation_set": "test", "metric": "accuracy"}
    summary = [cell | {"variant": variant, "seed": seed, "value": 50.0, "run_key": key} | on
               for (variant, seed), key in keys.items()]  # fmt: skip
    seeds = " ".join(sorted({str(seed) for _, seed in keys}))
    numbers = {"gain": gain, "gain_low": gain - 1, "gain_high": gain + 2, "learned": 2}
    row = cell | {"variant": "clip_td", "seeds": seeds} | numbers | on
    own = row | dict.fromkeys(numbers) | {"variant": "finetune", "learned": 0}
    for name, rows in (("summary", summary), ("gains", [row, own])):
        files.write_text(layout.results("scenes") / f"{name}.csv", table(rows))


def test_a_parent_has_mean_sd_and_intervals_of_its_seeds(make_run: MakeRun, uri: str, tracked: Tracked) -> None:
    seeds = (10, 11, 12)
    folders = {(variant, seed): make_run(variant=variant, seed=seed) for variant in ("finetune", "clip_td")
               for seed in seeds}  # fmt: skip
    ours = [accuracy(folders["clip_td", seed]) for seed in seeds]
    gain = sum(accuracy(folders["clip_td", seed]) - accuracy(folders["finetune", seed]) for seed in seeds) / 3
    compared({each: files.digest(str(folder))[:16] for each, folder in folders.items()}, round(gain, 4))
    synced(uri)
    parents = tracked(uri, parents=True)
    assert set(parents) == {NAME, "finetune 300 scenes_vqa"}
    found = parents[NAME]
    metrics = found.data.metrics
    mean = sum(ours) / 3
    sd = math.sqrt(sum((each - mean) ** 2 for each in ours) / 2)
    assert metrics["test/accuracy"] == pytest.approx(mean, abs=1e-4)
    assert metrics["sd/test/accuracy"] == pytest.approx(sd, abs=1e-4)
    assert metrics["high/test/accuracy"] - mean == pytest.approx(4.302653 * sd / math.sqrt(3), abs=1e-4)
    assert metrics["gain/test/accuracy"] == pytest.approx(gain, abs=1e-4)
    assert metrics["low/gain/test/accuracy"] == pytest.approx(gain - 1, abs=1e-3)
    assert metrics["seeds"] == 3
    assert metrics["learned/test/accuracy"] == 2
    assert parents["finetune 300 scenes_vqa"].data.metrics["learned/test/accuracy"] == 0
    assert found.data.params["method.lambda0"] == "10.0"
    assert "seed" not in found.data.params
    assert found.data.tags["seeds"] == "10 11 12"
    assert found.info.status == "FINISHED"
    children = [run for run in tracked(uri).values() if run.data.tags["variant"] == "clip_td"]
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {found.info.run_id}
    assert "gain/test/accuracy" not in parents["finetune 300 scenes_vqa"].data.metrics


def test_intervals_of_other_runs_than_these_are_not_shown_and_those_of_these_once_compared(
    make_run: MakeRun, uri: str, tracked: Tracked
) -> None:
    folders = {(variant, seed): make_run(variant=variant, seed=seed) for variant in ("finetune", "clip_td")
               for seed in (10, 11)}  # fmt: skip
    gain = sum(accuracy(path) * (1 if variant == "clip_td" else -1) for (variant, _), path in folders.items()) / 2
    keys = {each: files.digest(str(folder))[:16] for each, folder in folders.items()}
    compared(keys | {("finetune", 11): "an earlier run"}, round(gain, 4))
    synced(uri)
    missing = tracked(uri, parents=True)[NAME].data.metrics
    assert not {"low/gain/test/accuracy", "learned/test/accuracy"} & set(missing)
    compared(keys, round(gain, 4))
    synced(uri)
    assert tracked(uri, parents=True)[NAME].data.metrics["low/gain/test/accuracy"] == pytest.approx(gain - 1, abs=0.01)
    shutil.rmtree(layout.results("scenes"))
    synced(uri)
    assert math.isnan(tracked(uri, parents=True)[NAME].data.metrics["low/gain/test/accuracy"])


def test_a_mean_follows_its_runs_up_and_down(make_run: MakeRun, uri: str, tracked: Tracked) -> None:
    first = make_run(seed=10)
    make_run(seed=11, end=None)
    synced(uri)
    found = tracked(uri, parents=True)[NAME]
    assert (found.data.metrics["test/accuracy"], found.data.metrics["seeds"]) == (accuracy(first), 1)
    assert found.info.status == "KILLED"
    for lower in (5.0, 2.0, 7.0):
        results = json.loads(layout.metrics(first).read_text())
        results["test"]["accuracy"] = lower
        files.write_json(layout.metrics(first), results)
        synced(uri)
        assert tracked(uri, parents=True)[NAME].data.metrics["test/accuracy"] == lower


@pytest.mark.parametrize("lost", ["its digest", "all of it", "the link"])
def test_a_parent_that_was_lost_is_made_again_with_its_runs_below(
    make_run: MakeRun, uri: str, tracked: Tracked, lost: str, tmp_path: Path
) -> None:
    import sqlite3

    make_run()
    synced(uri)
    run_id = tracked(uri, parents=True)[NAME].info.run_id
    with sqlite3.connect(tmp_path / "mlflow.db") as opened:
        if lost == "its digest":
            opened.execute("DELETE FROM tags WHERE run_uuid = ? AND key = ?", (run_id, mlflow_sync.SYNCED))
        elif lost == "the link":
            opened.execute("DELETE FROM tags WHERE key IN ('mlflow.parentRunId', 'vlkd.synced')")
        else:
            for name in ("tags", "params", "metrics", "latest_metrics", "runs"):
                opened.execute(f"DELETE FROM {name} WHERE run_uuid = ?", (run_id,))
    synced(uri)
    (parent,) = tracked(uri, parents=True).values()
    (run,) = tracked(uri).values()
    assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert (parent.info.run_id == run_id) == (lost != "all of it")
    assert parent.data.metrics["test/accuracy"] == run.data.metrics["test/accuracy"]


def test_other_settings_have_another_parent_and_the_former_is_superseded(
    make_run: MakeRun, uri: str, tracked: Tracked
) -> None:
    folder = make_run()
    synced(uri)
    (old,) = tracked(uri, parents=True).values()
    with Journal(layout.journal(folder)) as journal:
        tags = {"dataset": "scenes_vqa", "student": "vilt_scenes", "variant": "clip_td", "shot": "300", "seed": 10}
        journal.append("start", run_key="new", attempt=1, tags=tags, params={"method": {"lambda0": 3.0}})
        journal.append("end", status="FINISHED")
    files.write_text(layout.run_config(folder), "run_key: new")
    synced(uri)
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    runs = client.search_runs([old.info.experiment_id], filter_string="tags.mean_over = 'seeds'")
    superseded = {run.data.params["method.lambda0"]: run.data.tags["superseded"] for run in runs}
    assert superseded == {"10.0": "yes", "3.0": "no"}
    assert next(run for run in runs if run.data.params["method.lambda0"] == "10.0").info.run_id == old.info.run_id


def test_of_a_run_that_another_parent_has_now_the_former_one_is_superseded(
    make_run: MakeRun, uri: str, tracked: Tracked
) -> None:
    from mlflow import MlflowClient

    folder = make_run(end=None)
    synced(uri)
    (run,) = tracked(uri).values()
    key = run.data.tags["run_key"]
    with Journal(layout.journal(folder)) as journal:
        journal.append("start", run_key=key, attempt=2, tags={}, params={"what_this_version_adds": 1})
    synced(uri)
    client = MlflowClient(tracking_uri=uri)
    runs = client.search_runs([run.info.experiment_id], filter_string="tags.mean_over = 'seeds'")
    assert {"what_this_version_adds" in each.data.params: each.data.tags["superseded"] for each in runs} == {
        True: "no", False: "yes"
    }  # fmt: skip
    (run,) = tracked(uri).values()
    parent = next(each for each in runs if each.data.tags["superseded"] == "no")
    assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id


def test_what_was_swept_is_a_parameter_of_runs_and_parents(make_run: MakeRun, uri: str, tracked: Tracked) -> None:
    for value in (1, 3):
        label = f"clip_td[lambda0={value}, learning_rate=0.001]"
        tags = {"sweep": "clip_td", "label": label, "variant": f"clip_td_lambda0_{value}"}
        make_run(allocation=tags, seed=value)
    synced(uri)
    for found in (tracked(uri), tracked(uri, parents=True)):
        swept = {run.data.params["sweep.lambda0"]: run.data.params["sweep.learning_rate"] for run in found.values()}
        assert swept == {"1": "0.001", "3": "0.001"}
    assert "clip_td[lambda0=3, learning_rate=0.001] 300 scenes_vqa" in tracked(uri, parents=True)


def test_a_parent_that_a_user_deleted_stays_deleted(make_run: MakeRun, uri: str, tracked: Tracked) -> None:
    from mlflow import MlflowClient

    folder = make_run()
    synced(uri)
    MlflowClient(tracking_uri=uri).delete_run(tracked(uri, parents=True)[NAME].info.run_id)
    files.write_json(layout.metrics(folder), {"test": {"accuracy": 1.0}})
    synced(uri)
    assert tracked(uri, parents=True) == {}
    assert tracked(uri)["clip_td 300 s10 scenes_vqa"].data.metrics["test/accuracy"] == 1.0
