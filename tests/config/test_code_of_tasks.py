"""A job's code holds the tasks that it works on, and of the metrics only what scores."""

from pathlib import Path

import pytest

from vlkd_steps.config import composition, step_code
from vlkd_steps.config.models.composition import Composition
from vlkd_steps.core.fingerprint import closure

VQA, ENTAILMENT, CAPTIONING = (f"vlkd_steps.tasks.{name}" for name in ("vqa", "entailment", "captioning"))


@pytest.fixture(scope="module")
def smoke(root: Path) -> Composition:
    return composition.compose(root / "params.yaml", "scenes_smoke")


@pytest.mark.parametrize("step", ["prepare", "split", "distill"])
def test_a_step_on_one_data_set_holds_its_task_alone(smoke: Composition, step: str) -> None:
    assert step_code.task_modules(smoke, step, "scenes_smoke_ve") == [ENTAILMENT]


@pytest.mark.parametrize("step", ["compare", "report"])
def test_what_is_about_the_whole_experiment_holds_all_its_tasks(smoke: Composition, step: str) -> None:
    assert step_code.task_modules(smoke, step, None) == [ENTAILMENT, VQA]


def test_only_evaluate_holds_the_metric(smoke: Composition) -> None:
    assert step_code.task_modules(smoke, "evaluate", "scenes_smoke_ve") == [ENTAILMENT, "vlkd_steps.metrics.accuracy"]
    assert "vlkd_steps.metrics.accuracy" not in closure((ENTAILMENT, "vlkd_steps.steps.distill"))


def test_runs_that_are_evaluated_on_other_data_sets_hold_their_tasks_too(root: Path) -> None:
    composed = composition.compose(root / "params.yaml", "scenes_vlkd")
    assert step_code.task_modules(composed, "distill", "scenes_wide_captions") == [CAPTIONING, VQA]
    assert step_code.task_modules(composed, "split", "scenes_wide_captions") == [CAPTIONING]


def test_steps_that_know_no_task_hold_none(smoke: Composition) -> None:
    assert step_code.task_modules(smoke, "download", None) == step_code.task_modules(smoke, "extract", None) == []
