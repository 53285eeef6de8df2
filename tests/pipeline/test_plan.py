"""What would run and what is missing, by the real Snakemake on the project's own presets."""

import json
from pathlib import Path

import pytest
from pipeline_project import Project, planned


@pytest.fixture(scope="module")
def project(new_project):
    return new_project("plan")


def plan(project, *arguments: str) -> dict:
    output = project.run("python", "-m", "vlkd_steps.cli.plan", "--json", *arguments)
    return json.loads(output[output.index("{\n") :])


def test_what_has_not_begun_is_derived(project) -> None:
    before = plan(project, "scenes_smoke", "--tflops", "0.05")
    assert before["runs"] == {"of_the_experiment": 12, "to_train": 12}
    assert before["jobs"]["download"] == 1
    assert before["jobs"]["distill"] == 6
    trainings = [row for row in before["cost"] if row["step"] == "distill"]
    assert {row["from"] for row in trainings} == {"derived: 0.05 TFLOP/s given"}
    assert sum(row["count"] for row in trainings) == 12
    assert trainings[0]["hours"] == pytest.approx(trainings[0]["operations"] / 0.05e12 / 3600)


def test_what_is_done_is_not_counted(finished_project: Project, tmp_path: Path) -> None:
    project = finished_project.copy(tmp_path / "project")
    assert plan(project, "scenes_smoke")["runs"] == {"of_the_experiment": 2, "to_train": 0}
    (project.folder / "data/instances/mine.parquet").unlink()
    after = plan(project, "scenes_smoke")
    assert "download" not in after["jobs"]
    assert after["jobs"]["prepare"] == 1
    assert after["runs"]["to_train"] == 2
    assert after["sources"] == []
    cost = {row["step"]: row for row in after["cost"]}
    assert cost["prepare"]["from"] == "measured here"
    assert cost["prepare"]["hours"] > 0
    assert cost["distill"]["from"] == "measured here (student, dataset, variant)"


def test_the_papers_grid_builds_its_graph_and_names_all_missing_data_at_once(project) -> None:
    output = project.snakemake("-n", "--config", "experiment=paper_snli_ve")
    note = output[output.index("note: experiment paper_snli_ve reads data that you have to provide") :]
    assert "source 'flickr30k': the folder data/incoming/flickr30k does not exist" in note
    assert "source 'snli_ve': the folder data/incoming/snli_ve does not exist" in note
    assert "data/incoming/butd/flickr30k/feat_th0.2_max100_min10: missing; put the files of butd" in note
    assert "models/official/uniter-base.pt: missing; put the files of uniter_base there" in note
    assert "Traceback" not in output
    real = project.snakemake("--config", "experiment=paper_snli_ve", status=2)
    assert note.removeprefix("note: ").strip() in real
    assert "Traceback" not in real
    assert not (project.folder / "data/raw").joinpath("snli_ve").exists()


def test_a_target_with_a_name_outside_the_experiment_has_no_rule(project) -> None:
    for target in ("data/instances/vcr.parquet", "features/clip_scenes/vcr/manifest.json"):
        output = project.snakemake("-n", "--config", "experiment=scenes_smoke", "--", target, status=1)
        assert f"No rule to produce {target}" in output
        assert "Traceback" not in output


def test_vlkd_on_web_captions_builds_its_graph_and_says_what_to_bring(project) -> None:
    output = project.snakemake("-n", "--config", "experiment=paper_vlkd_l14")
    note = output[output.index("note: experiment paper_vlkd_l14 reads data that you have to provide") :]
    assert "source 'cc3m': the folder data/incoming/cc3m does not exist" in note
    assert "img2dataset" in note
    assert planned(output)["distill"] == 20
    assert "Traceback" not in output


@pytest.mark.exhaustive  # tests/planning has the numbers, on smaller grids
def test_a_printed_plan_says_where_each_number_is_from(project) -> None:
    output = project.run("python", "-m", "vlkd_steps.cli.plan", "paper_vcr", "--gpu", "a100")
    assert "paper_vcr: 567 of 567 runs to train" in output
    assert "vcr: MISSING. source 'vcr': the folder data/incoming/vcr does not exist" in output
    assert "derived: a100, 0.3 of 312 TFLOP/s" in output
    assert "at most 80,418 images, 425,846 texts (published sizes)" in output
    assert "GPU-hours" in output
