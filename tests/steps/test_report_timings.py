"""What the runs, their models and their teachers' features cost, in timings.csv and on the page."""

import csv
import json
import re

import pytest
import synthetic_costs
from synthetic_report import RESULTS, Page, run

from vlkd_steps.cli import table
from vlkd_steps.core import files, layout
from vlkd_steps.steps import compare


def timings() -> list[dict[str, str]]:
    with (RESULTS / "timings.csv").open() as stream:
        return list(csv.DictReader(stream))


def test_timings_of_journals_without_an_allocation(html: str) -> None:
    rows = timings()
    assert len(rows) == 36
    assert (rows[0]["step"], rows[0]["seconds"], rows[0]["peak_mib"]) == ("distill", "8.0000", "812.5000")
    assert (rows[0]["attempts"], rows[0]["core_hours"], rows[0]["gpu_hours"]) == ("1", "", "")
    assert "0123456789" in html  # the commit that the runs were trained at
    cost = html[html.index('<section id="cost">') :]
    assert "-hours" not in cost
    assert "attempts</th>" in cost[cost.index("Every run") :]
    assert "attempts</th>" not in cost[: cost.index("Every run")]  # all runs made it at once
    assert "CPU used" not in cost
    assert "only the process that finished" not in cost  # all that is shown has a journal


def test_what_a_cluster_took_is_in_the_table_and_on_the_page(config: dict) -> None:
    synthetic_costs.on_cluster()
    html = run(config)
    rows = timings()
    preempted = [row for row in rows if row["attempts"] == "2"]
    assert len(preempted) == 9
    assert sum(row["variant"] == "finetune" for row in preempted) == 3
    for row in preempted:
        seconds = {"finetune": 8, "naive_kd": 8.45, "clip_td": 9.5}[row["variant"]] + 90  # both attempts
        assert float(row["seconds"]) == pytest.approx(seconds)
        assert float(row["gpu_hours"]) == pytest.approx(seconds / 3600, abs=1e-6)
        assert float(row["core_hours"]) == pytest.approx(8 * seconds / 3600, abs=1e-6)
        assert row["slurm_node"] in ("gpu03, gpu01", "gpu03, gpu02")
        assert re.fullmatch(r"40\d\d_\d", row["slurm_job"])
        assert (row["gpu"], row["cpu_efficiency"]) == ("NVIDIA A100-SXM4-40GB", "0.3000")
    page = Page(html)
    total = next(row for row in page.rows if row and row[0] == "all together")
    hours = sum(float(row["gpu_hours"]) for row in rows)
    assert (total[1], total[2], total[6]) == ("36", "45", f"{hours:.4f}")
    assert f"{hours:.3g} GPU-hours, 45 attempts of 36 runs" in html
    listed = [row for row in page.rows if row and row[0] == "distill" and re.fullmatch(r"40\d\d_\d", row[-4])]
    assert [row[-4:-1] for row in listed] == [[row["slurm_job"], row["slurm_node"], row["gpu"]] for row in rows]
    by_variant = [row for row in page.rows if row and row[0] == "distill" and row[3] == "6"]
    assert len(by_variant) == 6
    assert sum(float(row[8]) for row in by_variant) == pytest.approx(hours, abs=3e-4)


def test_a_run_trained_again_is_not_charged_for_the_one_before(config: dict) -> None:
    synthetic_costs.on_cluster()
    folder = layout.run_folders("scenes")[1]
    path = layout.journal(folder)
    lines = path.read_text().splitlines()
    older = [json.dumps({**json.loads(lines[0]), "run_key": "other", "time": 1}), '{"event":"end","time":999}']
    path.write_text("\n".join([*older, *lines]) + "\n")
    before = timings()
    run(config)
    row = next(row for row in timings() if row["name"] == str(folder))
    assert row["attempts"] == "1"
    assert row["seconds"] == next(row for row in before if row["name"] == str(folder))["seconds"]


def test_models_and_features_are_timed_where_they_say_so(config: dict) -> None:
    for place in (layout.model("clip_scenes"), layout.features("clip_scenes", "scenes_ve")):
        place.mkdir(parents=True)
        layout.provenance(place).write_text(json.dumps({"seconds": 61.0, "peak_mib": 100.0}))
    html = run(config)
    with (RESULTS / "timings.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["step"], row["name"]) for row in rows[:2]] == [
        ("pretrain", "models/clip_scenes"),
        ("extract", "features/clip_scenes/scenes_ve"),
    ]
    assert "1 min 01 s" in html
    (extracted,) = [
        row for row in Page(html).rows if row[:3] == ["extract", "scenes_ve", "clip_scenes"] and row[3] == "1"
    ]
    assert "1 min 01 s" in extracted
    assert "of them only the process that finished is counted" in html


def test_targets_are_listed_by_their_teacher(config: dict) -> None:
    for each in config["runs"]:
        if each["variant"] == "clip_td":
            each["targets"] = "0" * 16
            place = layout.targets(each["dataset"], each["teacher"], each["shot"], each["seed"], each["targets"])
            files.write_json(layout.targets_provenance(place), {"seconds": 2.5})
    listed = [row[:3] for row in Page(run(config)).rows if row[:1] == ["targets"]]
    assert {tuple(row) for row in listed} == {("targets", name, "clip_scenes") for name in ("scenes_vqa", "scenes_ve")}
    assert len(listed) > 2


def test_who_needs_its_teacher_at_inference_is_said_and_two_teachers_and_regions_are_timed_each(
    config: dict, capsys: pytest.CaptureFixture
) -> None:
    for each in config["runs"]:
        if each["variant"] == "clip_td":
            each |= {"method": "plug_in", "teacher": "eyes+ears", "regions": "boxes"}
    for name in ("eyes", "ears", "boxes"):
        layout.features(name, "scenes_ve").mkdir(parents=True)
        layout.provenance(layout.features(name, "scenes_ve")).write_text(json.dumps({"seconds": 1.0}))
    assert compare.main(["--config", json.dumps(config)]) == 0
    assert "The teacher is needed at inference by <code>clip_td</code>; the students" in run(config)
    with (RESULTS / "timings.csv").open() as stream:
        rows = [(row["step"], row["name"]) for row in csv.DictReader(stream)][:3]
    assert rows == [("extract", f"features/{name}/scenes_ve") for name in ("eyes", "ears", "boxes")]
    capsys.readouterr()
    assert table.main(["scenes"]) == 0
    assert "clip_td keeps its teacher at inference" in capsys.readouterr().out
