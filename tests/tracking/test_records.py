import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from vlkd_steps.core import files, layout
from vlkd_steps.tracking import records
from vlkd_steps.tracking.journal import Journal

MakeRun = Callable[..., Path]


def values(record: records.Record) -> dict[str, float]:
    """Metric -> the value of its last step."""
    return {point.name: point.value for point in sorted(record.points, key=lambda point: point.step)}


def test_a_finished_run_has_course_results_and_readable_tags(make_run: MakeRun) -> None:
    folder = make_run(variant="finetune")
    (record,) = records.read(folder)
    assert record.name == "finetune 300 s10 scenes_vqa"
    assert record.status == "FINISHED"
    assert record.tags["duration"] == "0:00:11"
    assert record.tags["superseded"] == "no"
    assert "teacher" not in record.tags  # finetune has none
    assert record.params["training.learning_rate"] == "0.001"
    assert record.params["training.betas"] == "[0.9, 0.98]"
    assert record.params["method.name"] == "finetune"
    metrics = json.loads(layout.metrics(folder).read_text())
    found = values(record)
    assert found["test/accuracy"] == metrics["test"]["accuracy"]
    assert found["test/by_question_type/how many"] == metrics["test"]["by_question_type"]["how many"]
    assert found["train/loss"] < 1
    assert found["cost/peak_mib"] == 780.2
    assert not any(name.endswith(("/n", "/images")) for name in found)
    assert not any(name.startswith("gain/") for name in found)  # the reference gains nothing over itself


def test_the_gain_is_over_the_reference_of_the_same_seed(make_run: MakeRun) -> None:
    folder = make_run(variant="clip_td", seed=11)
    make_run(variant="finetune", seed=10)
    assert "gain/test/accuracy" not in values(records.read(folder)[0])
    reference = make_run(variant="finetune", seed=11)
    ours, theirs = (json.loads(layout.metrics(place).read_text()) for place in (folder, reference))
    gain = ours["unseen_pairs"]["accuracy"] - theirs["unseen_pairs"]["accuracy"]
    assert values(records.read(folder)[0])["gain/unseen_pairs/accuracy"] == pytest.approx(gain)
    assert "gain/test/accuracy" not in values(records.read(folder, reference="naive_kd")[0])


def test_there_is_no_gain_until_the_reference_has_results_of_its_own(make_run: MakeRun) -> None:
    folder, reference = make_run(variant="clip_td"), make_run(variant="finetune")
    assert "gain/test/accuracy" in values(records.read(folder)[0])
    make_run(variant="finetune", run_key="new", evaluated=False)
    os.utime(layout.metrics(reference), (1_000_000, 1_000_000))
    assert "gain/test/accuracy" not in values(records.read(folder)[0])
    make_run(variant="finetune", run_key="new")
    assert "gain/test/accuracy" in values(records.read(folder)[0])
    with Journal(layout.journal(reference)) as journal:
        journal.append("start", run_key="newer", attempt=1)
        assert "gain/test/accuracy" not in values(records.read(folder)[0])


def test_a_step_seen_twice_counts_once_and_the_last_time(make_run: MakeRun) -> None:
    folder = make_run(steps=50, end=None)
    make_run(steps=100)
    (record,) = records.read(folder)
    assert record.tags["attempts"] == "2"
    steps = [point.step for point in record.points if point.name == "train/loss"]
    assert sorted(steps) == list(range(10, 101, 10))
    again = next(point for point in record.points if (point.name, point.step) == ("train/loss", 50))
    assert again.value == pytest.approx(3 / (1 + 5 * 0.5))  # half-way of the longer attempt, not the end of the shorter


def test_attempts_on_several_nodes_are_one_cost(make_run: MakeRun) -> None:
    make_run(steps=50, end=None, gpus=1, allocation={"slurm_job": "17", "slurm_node": "a1", "gpu": "NVIDIA A100"})
    folder = make_run(gpus=1, allocation={"slurm_job": "17", "slurm_node": "a2", "gpu": "NVIDIA A100"})
    (record,) = records.read(folder)
    found = values(record)
    assert found["cost/seconds"] == pytest.approx(11.4, abs=0.5)
    assert found["cost/gpu_hours"] == pytest.approx(found["cost/seconds"] / 3600, rel=1e-3)
    assert found["cost/core_hours"] == pytest.approx(2 * found["cost/seconds"] / 3600, rel=1e-3)
    assert found["cost/cpu_efficiency"] == 0.75
    assert (record.tags["slurm_job"], record.tags["slurm_node"], record.tags["gpu"]) == ("17", "a1, a2", "NVIDIA A100")


def test_an_unfinished_run_has_no_cost_yet(make_run: MakeRun) -> None:
    folder = make_run(end=None)
    with Journal(layout.journal(folder)):
        assert not any(name.startswith("cost/") for name in values(records.read(folder)[0]))
    assert values(records.read(folder)[0])["cost/core_hours"] >= 0


@pytest.mark.parametrize(("end", "status"), [("FINISHED", "FINISHED"), ("FAILED", "FAILED"), (None, "KILLED")])
def test_the_status_is_that_of_the_last_attempt(make_run: MakeRun, end: str | None, status: str) -> None:
    assert records.read(make_run(end=end))[0].status == status


def test_a_run_is_running_while_its_journal_is_open(make_run: MakeRun) -> None:
    folder = make_run(end=None)
    with Journal(layout.journal(folder)) as journal:
        assert records.read(folder)[0].status == "RUNNING"
        assert records.read(folder)[0].ended is None
        journal.append("interrupted", reason="TERM")
    assert records.read(folder)[0].status == "KILLED"


def test_a_changed_configuration_supersedes_the_earlier_run(make_run: MakeRun) -> None:
    folder = make_run(run_key="old")
    make_run(run_key="new")
    old, new = records.read(folder)
    assert (old.tags["superseded"], new.tags["superseded"]) == ("yes", "no")
    assert "test/accuracy" not in values(old)  # the file beside the journal is the new run's
    assert "test/accuracy" in values(new)


def test_what_was_published_last_owns_the_folder(make_run: MakeRun) -> None:
    folder = make_run(run_key="old")
    make_run(run_key="new")
    config = layout.run_config(folder)
    files.write_text(config, config.read_text().replace("'new'", "'old'"))  # `distill` publishes kept work unjournalled
    old, new = records.read(folder)
    assert (old.tags["superseded"], new.tags["superseded"]) == ("no", "yes")
    assert "test/accuracy" in values(old)


def test_results_left_over_from_an_earlier_run_are_not_taken(make_run: MakeRun) -> None:
    folder = make_run(run_key="old")
    make_run(run_key="new", evaluated=False)
    os.utime(layout.metrics(folder), (1_000_000, 1_000_000))
    assert "test/accuracy" not in values(records.read(folder)[-1])


def test_training_again_under_the_same_key_keeps_the_results(make_run: MakeRun) -> None:
    folder = make_run()
    written = layout.metrics(folder).stat().st_mtime
    with Journal(layout.journal(folder)) as journal:
        journal.append("start", run_key=records.read(folder)[0].run_key, attempt=2)
        journal.append("end", status="FINISHED", seconds=1)
    later = written + 3600
    for path in (folder / "predictions").iterdir():
        os.utime(path, (later, later))
    assert "test/accuracy" in values(records.read(folder)[0])


def test_a_member_of_a_sweep_is_called_by_its_values(make_run: MakeRun) -> None:
    label = "clip_td[lambda0=3, learning_rate=0.001]"
    folder = make_run(variant="clip_td", allocation={"sweep": "clip_td", "label": label})
    (record,) = records.read(folder)
    assert record.name == f"{label} 300 s10 scenes_vqa"
    assert record.params["label"] == label  # charts take their axes from parameters
    assert record.tags["sweep"] == "clip_td"


def test_the_digest_follows_the_content(make_run: MakeRun) -> None:
    folder = make_run()
    before = records.read(folder)[0].digest
    assert records.read(folder)[0].digest == before
    files.write_json(layout.metrics(folder), {"test": {"accuracy": 1.0}})
    assert records.read(folder)[0].digest != before


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1e999", '"high"'])
def test_results_that_are_not_numbers_are_not_tracked_and_named(
    make_run: MakeRun, caplog: pytest.LogCaptureFixture, value: str
) -> None:
    folder = make_run(variant="finetune")
    path = layout.metrics(folder)
    metrics = json.loads(path.read_text())
    metrics["test"]["accuracy"] = 12345
    path.write_text(json.dumps(metrics).replace("12345", value))
    (record,) = records.read(folder)
    assert record.results == {}
    assert str(path) in caplog.text
    assert "its results are not tracked" in caplog.text


def test_captions_are_tracked_without_what_is_said_of_them(make_run: MakeRun, caplog: pytest.LogCaptureFixture) -> None:
    folder = make_run(variant="finetune")
    scored = {"CIDEr": 32.7, "n": 3, "tokenizer": "PTBTokenizer", "left_out": {"SPICE": "its model is not here"}}
    files.write_json(layout.metrics(folder), {"captions": scored | {"by_group": {"in-domain": {"CIDEr": 31.0}}}})
    (record,) = records.read(folder)
    assert record.results == {"captions": {"CIDEr": 32.7, "by_group/in-domain/CIDEr": 31.0}}
    assert not caplog.records
