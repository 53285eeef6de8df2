"""`dvc exp run -S` with the graph: in the workspace, in a folder of its own, from a queue; then show, diff, apply."""

import csv
import io
import shutil
from pathlib import Path

import pytest
import yaml
from own_data import PARAMS
from pipeline_project import Project, finished

from vlkd_steps.config import composition

LAMBDA = "overrides.variants.clip_td.lambda0"


def test_s_finds_the_keys_of_params_yaml_and_the_project_takes_what_it_writes(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the function of DVC's that `-S` calls."""
    from dvc.utils.hydra import apply_overrides

    params = tmp_path / "params.yaml"
    shutil.copy(root / "params.yaml", params)
    before = composition.compose(params)
    apply_overrides(params, [f"{LAMBDA}=3", "overrides.training.steps=500", "grid.seed=[1]"])
    apply_overrides(params, ["+overrides.variants.clip_td.temperature=2"])
    after = composition.compose(params)
    assert (before.training.steps, after.training.steps) == (600, 500)
    assert after.preset.variants["clip_td"].lambda0 == 3
    assert after.preset.variants["clip_td"].temperature == 2
    assert after.grid.seed == (1,)
    assert "batch_size: preset" in params.read_text()


@pytest.mark.slow
@pytest.mark.exhaustive
def test_experiments(finished_project: Project, tmp_path: Path) -> None:
    project = finished_project.copy(tmp_path / "project")
    overrides = {**PARAMS["overrides"], "variants": {"clip_td": {"lambda0": "preset"}}}
    project.params(overrides=overrides)
    project.snakemake()
    project.commit("A key for -S")

    done = finished(project.dvc("exp", "run", "--name", "three", "-S", f"{LAMBDA}=3"))
    assert done["distill"] == done["compare"] == 1
    assert done["extract"] == 0  # only what the value reaches
    assert LAMBDA in project.dvc("exp", "diff")
    project.dvc("exp", "run", "--name", "four", "--temp", "-S", f"{LAMBDA}=4")
    project.dvc("exp", "run", "--name", "five", "--queue", "-S", f"{LAMBDA}=5")
    project.dvc("exp", "run", "--run-all")
    rows = csv.DictReader(io.StringIO(project.dvc("exp", "show", "--csv")))
    assert {row["Experiment"]: row[LAMBDA] for row in rows if row["Experiment"]} == {
        "three": "3",
        "four": "4",
        "five": "5",
    }
    assert lambda0(project) == 3
    project.dvc("exp", "apply", "four")
    assert lambda0(project) == 4
    project.run("python", "-m", "vlkd_steps.graph.sync")
    assert not project.dry_run()
    assert "up to date" in project.dvc("status")


def lambda0(project: Project) -> int:
    value = yaml.safe_load((project.folder / "params.yaml").read_text())["overrides"]["variants"]["clip_td"]["lambda0"]
    assert isinstance(value, int)
    return value
