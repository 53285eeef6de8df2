from pathlib import Path

import pytest

from vlkd_steps.config import phases
from vlkd_steps.graph import sync


def test_phases_before_the_first_dirty_one_are_clean() -> None:
    assert sync.clean_phases({}) == (list(phases.PHASES), None)
    status = {"features_bytes@clip_scenes-scenes_vqa": [{"changed outs": {"features/a": "deleted"}}]}
    assert sync.clean_phases(status) == (["download", "prepare", "split", "pretrain"], "extract")


def test_missing_bytes_are_to_be_pulled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the project's folder may have such data
    status = {"raw_bytes@scenes": [{"changed outs": {"data/raw/scenes": "deleted"}}]}
    message = sync.explain(status, "download")
    assert "data/raw/scenes is missing; run: dvc pull" in message
    # as in a fresh clone, where everything is missing: running it all would be costly advice
    status["download"] = [{"changed deps": {"data/incoming": "deleted"}}]
    assert "run: dvc pull" in sync.explain(status, "download")


def test_bytes_that_only_the_cache_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    status = {"raw_bytes@scenes": [{"changed outs": {"data/raw/scenes": "not in cache"}}]}
    assert "data/raw/scenes is missing; run: dvc pull" in sync.explain(status, "download")  # neither has it
    Path("data/raw/scenes").mkdir(parents=True)
    assert "data/raw/scenes is here, but not in DVC's cache" in sync.explain(status, "download")


@pytest.mark.parametrize(
    ("phase", "stage"), [(name, stage) for name in phases.PHASES for stage in phases.PHASES[name].bytes]
)
def test_every_stage_that_versions_bytes_counts(phase: str, stage: str) -> None:
    clean, stopped_at = sync.clean_phases({f"{stage}@a-b": [{"changed outs": {"data/a": "deleted"}}]})
    assert stopped_at == phase
    assert clean == list(phases.PHASES)[: len(clean)]
    assert phase not in clean


def test_bytes_of_another_commit_are_to_be_checked_out() -> None:
    status = {"splits_bytes@scenes_vqa": [{"changed outs": {"data/splits/scenes_vqa": "modified"}}]}
    assert "data/splits/scenes_vqa (modified); run: dvc checkout" in sync.explain(status, "split")


def test_changed_parameters_and_code_are_to_be_run() -> None:
    status = {
        "download": [{"changed deps": {"vlkd_steps": "modified", "params.yaml": {"overrides": "modified"}}}],
    }
    message = sync.explain(status, "download")
    assert "params.yaml: overrides (modified), vlkd_steps (modified)" in message
    assert "run: snakemake --cores all" in message
