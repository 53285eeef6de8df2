"""What MLflow's page shows of a task of several metrics."""

import dataclasses
import json
from pathlib import Path

import pytest

from vlkd_steps.reporting import mlflow_view
from vlkd_steps.tracking.records import Point, Record


def record(variant: str, sets: int) -> Record:
    values = {"q_a": 40.0, "qa_r": 50.0, "q_ar": 20.0, "accuracy": 45.0}
    names = ["test", *(f"shifted_by_a_rule_of_number_{number}" for number in range(sets))]
    measured = {f"{name}/{metric}": value for name in names for metric, value in values.items()}
    gains = {f"gain/{name}": 2.5 for name in measured} if variant != "finetune" else {}
    points = [Point(name, 0, value, 1) for name, value in {**measured, **gains}.items()]
    tags = {"dataset": "vcr", "student": "vilt", "variant": variant, "shot": "300", "superseded": "no"}
    return Record(Path(variant), variant, variant, tags, {}, points, [], "FINISHED", 0, 1)


@pytest.mark.parametrize("sets", [1, 8, 20])
def test_a_view_fits_into_a_tag_with_test_first(sets: int) -> None:
    found = mlflow_view.gain_view("vcr", "vilt", [record("finetune", sets), record("clip_td", sets)], "finetune")
    assert len(json.dumps(found)) <= mlflow_view.LONGEST_TAG
    bars = [chart["displayName"] for chart in found["compareRunCharts"] if chart["type"] == "BAR"]
    assert bars[:3] == ["gain/test/q_a", "gain/test/q_ar", "gain/test/qa_r"]
    assert "gain/test/accuracy" not in bars


def test_the_description_has_a_table_for_each_metric() -> None:
    lines = mlflow_view.description("x", [record("finetune", 1), record("clip_td", 1)], "finetune").splitlines()
    assert (
        "vcr, vilt: test Q→AR accuracy in percent, in brackets the gain over finetune (once all these seeds have one)"
        in lines
    )
    assert lines.count("| 300 | 40.0 | 40.0 (+2.5) |") == 1
    assert not any("test accuracy" in line for line in lines)


def test_shots_are_sorted_by_number_then_by_share() -> None:
    shots = ["300", "1000", "0.05pct", "0.5pct", "1pct", "12.5pct", "100pct", "full"]
    runs = [record("finetune", 1) for _ in shots]
    runs = [dataclasses.replace(each, tags={**each.tags, "shot": shot}) for each, shot in zip(runs, shots, strict=True)]
    lines = mlflow_view.description("x", runs[::-1], "finetune").splitlines()
    rows = [line.split(" | ")[0].removeprefix("| ") for line in lines if line.endswith(" 40.0 |")]
    assert rows == shots


def test_a_description_of_hundreds_of_variants_fits_into_a_tag() -> None:
    many = [record(f"clip_td_lambda0_{number}_learning_rate_0p001", 0) for number in range(400)]
    few = [dataclasses.replace(each, tags={**each.tags, "dataset": "vqa"}) for each in many[:3]]
    text = mlflow_view.description("x", [*many, *few], "finetune")
    assert len(text) <= mlflow_view.LONGEST_TAG
    assert "vqa, vilt: test Q→AR accuracy" in text
    assert "too small: 3 more" in text


def test_members_of_a_sweep_are_called_by_their_values() -> None:
    member = record("clip_td_lambda0_3", 1)
    member.tags["label"] = "clip_td[lambda0=3]"
    lines = mlflow_view.description("x", [record("finetune", 1), member], "finetune").splitlines()
    assert "| shot | finetune | clip_td[lambda0=3] |" in lines
    view = mlflow_view.gain_view("vcr", "vilt", [record("finetune", 1), member], "finetune")
    assert view["selectedColumns"][:2] == ["tags.`variant`", "tags.`label`"]


def mean(variant: str, swept: dict[str, str]) -> Record:
    names = ["test/accuracy", *(["gain/test/accuracy", "gain/dev/accuracy"] if swept else [])]
    tags = {"dataset": "vqa", "student": "vilt", "variant": variant, "shot": "300", "superseded": "no"}
    params = {"variant": variant, "shot": "300"} | {f"sweep.{key}": value for key, value in swept.items()}
    points = [Point(name, 0, 1.0, 1) for name in names]
    return Record(Path(variant), variant, variant, tags, params, points, [], "FINISHED", 0, 1)


def test_the_view_of_parents_has_the_swept_values_against_the_gain() -> None:
    means = [mean("finetune", {}), mean("a", {"lambda0": "1", "width": "2"}), mean("b", {"lambda0": "3", "width": "2"})]
    view = mlflow_view.means_view("vqa", "vilt", means)
    (chart,) = (each for each in view["compareRunCharts"] if each["type"] == "PARALLEL")
    assert chart["selectedParams"] == ["shot", "sweep.lambda0", "sweep.width"]
    assert chart["selectedMetrics"] == ["gain/test/accuracy"]
    assert view["orderByKey"] == "metrics.`gain/test/accuracy`"
    assert "tags.mean_over = 'seeds'" in view["searchFilter"]
    unswept = mlflow_view.means_view("vqa", "vilt", means[:1])
    assert not any(each["type"] == "PARALLEL" for each in unswept["compareRunCharts"])


def test_the_tables_have_accuracy_gain_and_what_was_swept_and_parents_are_sorted_by_gain() -> None:
    chosen = [mean("finetune", {}), mean("a", {"lambda0": "1"})]
    view = mlflow_view.means_table(chosen)
    names = [column.partition(".")[2].strip("`") for column in view["selectedColumns"]]
    interval = ["low/gain/test/accuracy", "high/gain/test/accuracy", "seeds"]
    described = ["variant", "dataset", "student", "shot"]
    assert names == ["test/accuracy", "gain/test/accuracy", *interval, *described, "sweep.lambda0"]
    assert (view["orderByKey"], view["orderByAsc"]) == ("metrics.`gain/test/accuracy`", False)
    nested = mlflow_view.nested_table(chosen)
    names = [column.partition(".")[2].strip("`") for column in nested["selectedColumns"]]
    assert names == ["test/accuracy", "gain/test/accuracy", *described, "seed", "sweep.lambda0"]
    assert nested["orderByKey"] == "attributes.start_time"
    of_several = mlflow_view.means_table([record("clip_td", 1)])
    assert of_several["orderByKey"] == "metrics.`gain/test/q_a`"


def test_the_view_of_single_runs_shows_no_parents() -> None:
    view = mlflow_view.gain_view("vcr", "vilt", [record("finetune", 1), record("clip_td", 1)], "finetune")
    assert view["searchFilter"].endswith("params.seed LIKE '%'")
    assert view["orderByKey"] == "metrics.`gain/test/q_a`"


def test_without_test_or_a_reference_the_views_show_what_was_measured() -> None:
    def measured(variant: str, gains: bool) -> Record:
        values = {"dev/CIDEr": 70.0, "val/CIDEr": 80.0, "val/BLEU": 30.0, "val/by_length/short": 1.0}
        points = [Point(name, 0, value, 1) for name, value in values.items()]
        points += [Point(f"gain/{name}", 0, 1.0, 1) for name in values if gains]
        results = {"dev": {"CIDEr": 70.0}, "val": {"CIDEr": 80.0, "BLEU": 30.0}}
        return dataclasses.replace(mean(variant, {}), points=points, results=results)

    def of(found: list[Record]) -> tuple[str, list[str], list[str]]:
        means, runs = (mlflow_view.means_view("vqa", "vilt", found), mlflow_view.gain_view("vqa", "vilt", found, "f"))
        charts = [[chart["displayName"] for chart in view["compareRunCharts"]] for view in (means, runs)]
        return means["orderByKey"], *charts

    alone = [measured("a", gains=False), measured("b", gains=False)]
    assert of(alone) == ("metrics.`val/CIDEr`", ["val/CIDEr"], ["val/CIDEr"])
    order, means, runs = of([*alone, measured("c", gains=True)])
    assert order == "metrics.`gain/val/CIDEr`"
    assert means == ["gain/val/CIDEr", "gain/val/CIDEr", "val/CIDEr"]
    assert runs[0] == "gain/val/BLEU"
    text = mlflow_view.description("x", alone, "finetune")
    assert "vqa, vilt: val CIDEr, in brackets" in text
    assert "| 300 | 80.0 | 80.0 |" in text


def test_of_a_curve_on_dev_the_description_has_the_last_value() -> None:
    points = [Point("dev/accuracy", step, float(step), 1) for step in (10, 20)]
    tuned = dataclasses.replace(mean("a", {}), points=points, results={"dev": {"accuracy": 20.0}})
    assert "| 300 | 20.0 |" in mlflow_view.description("x", [tuned], "finetune")
