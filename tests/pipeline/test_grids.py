"""A grid that grows, shrinks and changes its preset: dvc_vars.yaml follows, and DVC records what the grid needs.

Two small data sets of one's own, one method, one seed. The real snakemake, dvc and git; nothing is mocked.
"""

import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml
from own_data import DATASET, PARAMS, hashes, start
from pipeline_project import Project, finished

from vlkd_steps.config.phases import PHASES

pytestmark = [pytest.mark.slow, pytest.mark.exhaustive]

GRID = {"dataset": ["mine"], "variant": ["finetune"], "shot": [20], "seed": [1]}
PRESET = """\
# @package _global_
defaults: [scenes_smoke, _self_]
grid: {dataset: [others], student: [vilt_scenes], variant: [finetune], shot: [20], seed: [1]}
overrides: {training.steps: 6}
"""


@pytest.fixture(scope="module")
def finished_project(new_project) -> Project:
    project = new_project("grids")
    conf = project.folder / "vlkd_steps/conf"
    (conf / "dataset/others.yaml").write_text(
        DATASET.replace("name: mine", "name: others").replace("source: mine", "source: others")
    )
    (conf / "experiment/own.yaml").write_text(PRESET)
    start(project, {**PARAMS, "grid": GRID, "overrides": {"training.steps": 6}})
    shutil.copytree(project.folder / "data/incoming/mine", project.folder / "data/incoming/others")
    project.dvc("add", "--quiet", "data/incoming/others")
    project.snakemake()
    project.commit("Results")
    return project


@pytest.fixture
def project(finished_project: Project, tmp_path: Path) -> Project:
    return finished_project.copy(tmp_path / "project")


def text(project: Project, name: str) -> str:
    return (project.folder / name).read_text()


def stages(*datasets: str) -> set[str]:
    """The stages of an experiment without a teacher and without models, as DVC names them."""
    kinds = {"raw_bytes", "instances_bytes", "splits_bytes"}
    return {*PHASES, *(f"{kind}@{dataset}" for kind in kinds for dataset in datasets)}


def recorded(project: Project) -> set[str]:
    return set(yaml.safe_load(text(project, "dvc.lock"))["stages"])


def nothing_to_do(project: Project) -> None:
    assert project.dry_run() == Counter()
    assert "up to date" in project.dvc("status")
    assert "nothing to do" in project.run("python", "-m", "vlkd_steps.graph.sync")


def repro_stops(project: Project, *arguments: str) -> None:
    """`dvc repro` says once to repeat the command, and records nothing."""
    before = text(project, "dvc.lock")
    output = project.dvc("repro", *arguments, status=None)
    ours = [line for line in output.splitlines() if line.startswith(("error:", "note:"))]
    assert len(ours) == 1
    assert "dvc_vars.yaml" in ours[0]
    assert "repeat the command: dvc repro" in ours[0]
    assert "Traceback" not in output
    assert finished(output) == Counter()
    assert yaml.safe_load(text(project, "dvc.lock"))["stages"].items() <= yaml.safe_load(before)["stages"].items()


def test_a_grid_that_grows_and_shrinks(project: Project) -> None:
    assert recorded(project) == stages("mine")
    before = hashes(project)
    lists = text(project, "dvc_vars.yaml")
    project.params(grid={**GRID, "dataset": ["mine", "others"]})
    assert project.dry_run()["prepare"] == 1
    assert text(project, "dvc_vars.yaml") == lists  # a dry run writes nothing
    repro_stops(project)
    assert text(project, "dvc_vars.yaml") != lists
    assert finished(project.dvc("repro"))["prepare"] == 1
    assert recorded(project) == stages("mine", "others")
    nothing_to_do(project)

    project.params(grid=GRID)
    output = project.snakemake()
    assert finished(output)["prepare"] == 0
    assert "with 1 runs that the grid does not name, such as runs/scenes_smoke/others/" in output
    assert text(project, "dvc_vars.yaml") == lists
    assert recorded(project) == stages("mine")
    assert {name: value for name, value in hashes(project).items() if "others" not in name} == before
    nothing_to_do(project)


def test_another_preset_with_its_own_grid_and_back(project: Project) -> None:
    first = text(project, "dvc.lock"), text(project, "dvc_vars.yaml")
    params = text(project, "params.yaml")
    (project.folder / "params.yaml").write_text("experiment: own\n")
    project.snakemake()
    assert "runs/own/others/vilt_scenes/finetune/20/s1/model.safetensors" in hashes(project)
    assert recorded(project) == stages("others")
    nothing_to_do(project)

    (project.folder / "params.yaml").write_text(params)
    other = project.copy(project.folder.parent / "other")
    # Everything is there, so no job runs: the lists follow all the same, and nothing of the preset is still recorded.
    project.snakemake()
    assert text(project, "dvc_vars.yaml") == first[1]
    project.run("python", "-m", "vlkd_steps.graph.commit")
    assert (recorded(project), yaml.safe_load(text(project, "dvc.lock"))) == (stages("mine"), yaml.safe_load(first[0]))
    nothing_to_do(project)
    repro_stops(other)
    assert text(other, "dvc_vars.yaml") == first[1]


@pytest.mark.parametrize("arguments", [[], ["--single-item", "instances_bytes@others"]], ids=["all", "one"])
def test_foreign_bytes_are_not_recorded_by_dvc_repro(project: Project, arguments: Sequence[str]) -> None:
    outdated(project)
    repro_stops(project, *arguments)
    assert recorded(project) == stages("mine")
    nothing_to_do(project)


def test_commit_and_sync_write_an_outdated_list(project: Project) -> None:
    lists = text(project, "dvc_vars.yaml")
    for module in ("commit", "sync"):
        outdated(project)
        assert "updated dvc_vars.yaml to match params.yaml" in project.run("python", "-m", f"vlkd_steps.graph.{module}")
        assert text(project, "dvc_vars.yaml") == lists
        assert recorded(project) == stages("mine")
    nothing_to_do(project)


def outdated(project: Project) -> None:
    """As after a merge: a list that names a data set of another grid, whose files are here."""
    names = project.folder / "dvc_vars.yaml"
    names.write_text(names.read_text().replace('dataset: ["mine"]', 'dataset: ["mine", "others"]'))
    for name in ("parquet", "labels.json"):
        shutil.copy(project.folder / f"data/instances/mine.{name}", project.folder / f"data/instances/others.{name}")
