"""The presets of trials that ship, each a sweep."""

from typing import Any

import pytest
from user_files import Project

from vlkd_steps.config import jobs


@pytest.mark.parametrize(
    ("name", "trials"),
    [
        ("scenes_tune", 324),
        ("scenes_tune_weak", 18),
        ("scenes_tune_wide", 104),
        ("scenes_tune_methods", 144),
        ("scenes_tune_contrast", 36),
        ("scenes_tune_methods_wide", 48),
        ("scenes_tune_full", 24),
        ("scenes_tune_students", 108),
        ("scenes_tune_vcr", 22),
    ],
)
def test_the_trials_that_ship(project: Project, composed: Any, name: str, trials: int) -> None:
    c = composed(experiment=name, grid={})
    assert len(c.cells) == trials
    assert {cell.variant for cell in c.cells} <= set(c.members)
    for cell in c.cells:  # what earlier files say of a swept key, for a task as well, is not used
        rate = c.members[cell.variant].swept["learning_rate"]
        assert jobs.distill(c, cell)["training"]["learning_rate"] == rate


def test_the_trials_of_the_token_term(project: Project, composed: Any) -> None:
    c = composed(experiment="scenes_tune_tokens", grid={})
    keys = ("token_target", "token_layer", "selection", "relevance")
    found = {tuple(jobs.distill(c, cell)["method"][key] for key in keys) for cell in c.cells}
    assert len(c.cells) == 24
    assert found == {
        (target, layer, selection, "centred")
        for target in ("text", "image", "fused")
        for layer in ("embedding", "last")
        for selection in ("relevance", "random")
    }


def test_the_trials_of_mads_targets(project: Project, composed: Any) -> None:
    c = composed(experiment="scenes_tune_mad", grid={})
    keys = ("name", "whitening", "distance", "lambda0")
    found = {tuple(jobs.distill(c, cell)["method"][key] for key in keys) for cell in c.cells}
    assert len(c.cells) == 36
    assert found == {
        ("mad", whitening, distance, strength)
        for whitening in ("none", "standardise", "pca")
        for distance in ("l1", "cosine")
        for strength in (3, 10)
    } | {("mad", whitening, "relation", strength) for whitening in ("none", "pca") for strength in (3, 10, 30)}
