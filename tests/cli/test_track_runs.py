"""What of a run and its experiment arrives in MLflow."""

import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tracked_runs import CLIP_TD, MakeRun, Tracked, client, history

from vlkd_steps.cli import track
from vlkd_steps.core import files, layout
from vlkd_steps.tracking.journal import Journal


def test_a_run_arrives_complete(
    make_run: MakeRun, make_instances: Callable[[str], None], uri: str, tracked: Tracked, tmp_path: Path
) -> None:
    make_instances("scenes_vqa")
    folder = make_run()
    make_run(variant="finetune")
    assert track.main(["scenes", "--tracking-uri", uri]) == 0
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


@pytest.mark.parametrize(("experiment", "reference"), [("scenes_vlkd", "bart"), ("a_preset_of_once", "finetune")])
def test_gains_are_over_the_reference_of_the_experiments_preset(
    make_run: MakeRun, uri: str, experiment: str, reference: str
) -> None:
    files.write_text(Path("params.yaml"), "experiment: scenes\n")
    for variant in ("vlkd", "bart", "finetune"):
        make_run(experiment=experiment, variant=variant)
    assert track.main([experiment, "--tracking-uri", uri]) == 0
    found = client(uri)
    runs = found.search_runs([found.get_experiment_by_name(experiment).experiment_id])
    gains = {run.data.tags["variant"] for run in runs if "gain/test/accuracy" in run.data.metrics}
    assert gains == {"vlkd", "bart", "finetune"} - {reference}


def test_a_rerun_continues_the_same_run_and_repeated_steps_count_once(
    make_run: MakeRun, uri: str, tracked: Tracked
) -> None:
    make_run(steps=100, end=None)
    track.main(["scenes", "--tracking-uri", uri])
    killed = tracked(uri)[CLIP_TD]
    assert killed.info.status == "KILLED"
    folder = make_run(steps=100)
    with Journal(layout.journal(folder)) as journal:
        journal.append("start", run_key=killed.data.tags["run_key"], attempt=3, tags={}, params={"method": "other"})
        journal.append("metrics", step=100, metrics={"loss": 0.5})  # the same value as before
        journal.append("metrics", step=110, metrics={"loss": math.nan, "loss/image": math.inf})
        journal.append("end", status="FINISHED", seconds=3700)
    track.main(["scenes", "--tracking-uri", uri])
    (run,) = tracked(uri).values()
    assert run.info.run_id == killed.info.run_id
    assert run.info.status == "FINISHED"
    assert run.data.tags["duration"] == "1:01:51"  # 3,700 s and the 11.4 s of the attempt before
    assert run.data.metrics["cost/seconds"] == pytest.approx(3711.4, abs=0.5)
    assert [step for step, _ in history(uri, run, "train/loss")] == list(range(10, 111, 10))
    assert math.isnan(history(uri, run, "train/loss")[-1][1])
    assert run.data.params["method.name"] == "clip_td"
    track.main(["scenes", "--tracking-uri", uri])
    assert len(history(uri, run, "train/loss")) == 11


def test_of_a_repeated_step_with_another_value_the_later_one_is_the_latest(
    make_run: MakeRun, uri: str, tracked: Tracked
) -> None:
    folder = make_run(steps=20, end=None)
    track.main(["scenes", "--tracking-uri", uri])
    key = tracked(uri)[CLIP_TD].data.tags["run_key"]
    time.sleep(0.01)  # MLflow orders by milliseconds
    with Journal(layout.journal(folder)) as journal:
        journal.append("start", run_key=key, attempt=2)
        journal.append("metrics", step=20, metrics={"loss": 7.0})
    track.main(["scenes", "--tracking-uri", uri])
    (run,) = tracked(uri).values()
    assert run.data.metrics["train/loss"] == 7.0


def test_the_last_step_is_sent_first_and_all_steps_are_there(
    make_run: MakeRun, uri: str, tracked: Tracked, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    log_batch, steps = MlflowClient.log_batch, []

    def watched(self: MlflowClient, run_id: str, metrics: Any = (), *others: Any) -> None:
        steps.append([metric.step for metric in metrics if metric.key == "train/loss"])
        log_batch(self, run_id, metrics, *others)

    monkeypatch.setattr(MlflowClient, "log_batch", watched)
    make_run(steps=30)
    track.main(["scenes", "--tracking-uri", uri])
    assert [each for each in steps if each] == [[30, 20, 10]]
    run = tracked(uri)[CLIP_TD]
    of_steps = history(uri, run, "train/loss")
    assert [step for step, _ in of_steps] == [10, 20, 30]
    assert run.data.metrics["train/loss"] == of_steps[-1][1]


def test_names_and_values_beyond_mlflows_limits_are_cut(make_run: MakeRun, uri: str, tracked: Tracked) -> None:
    make_run(end=None, extra_params=150, extra_metrics=["loss/what is (the) man's ä?", "x//y", "../up"])
    folder = make_run(variant="finetune", end=None)
    with Journal(layout.journal(folder)) as journal:
        journal.append("start", run_key="long", attempt=1, params={"p" * 300: "v" * 9000}, tags={"t": "v" * 9000})
    assert track.main(["scenes", "--tracking-uri", uri]) == 0
    runs = tracked(uri)
    assert sum(name.startswith("extra.option_") for name in runs[CLIP_TD].data.params) == 150
    assert {"train/loss/what is _the_ man_s ä_", "train/x/_/y", "train/_/up"} <= set(runs[CLIP_TD].data.metrics)
    long = next(run for run in runs.values() if run.data.tags["run_key"] == "long")
    assert long.data.params["p" * 250] == "v" * 6000
    assert len(long.data.tags["t"]) == 8000


def test_the_experiment_has_a_description_and_a_view_of_the_gains(make_run: MakeRun, uri: str) -> None:
    for variant in ("finetune", "clip_td"):
        for shot in (1000, 300):
            make_run(variant=variant, shot=shot)
    track.main(["scenes", "--tracking-uri", uri])
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
def test_it_stays_light_and_sends_no_telemetry(make_run: MakeRun, uri: str, tmp_path: Path) -> None:
    (make_run() / "model.safetensors").touch()
    code = f"""
import sys
from vlkd_steps.cli import track
assert track.main(["scenes", "--tracking-uri", {uri!r}]) == 0
from mlflow.telemetry.utils import is_telemetry_disabled
print(is_telemetry_disabled(), [name for name in ("torch", "transformers", "open_clip") if name in sys.modules])
"""
    # CI variables switch MLflow's telemetry off by themselves: without them our own setting has to
    environment = {name: value for name, value in os.environ.items() if name not in ("CI", "PYTEST_CURRENT_TEST")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout == "True []\n"
    assert list((tmp_path / "mlartifacts").glob("scenes/*/artifacts/student/MLmodel"))
