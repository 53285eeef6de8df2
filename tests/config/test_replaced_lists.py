"""Lists of params.yaml that were left when `experiment` was changed."""

from typing import Any

import pytest
from user_files import Project

from vlkd_steps.config import composition

SHIPPED = {"dataset": ["scenes_vqa", "scenes_ve"], "student": ["vilt_scenes"], "shot": [100, 1000]}


@pytest.mark.parametrize(
    ("experiment", "grid", "facts"),
    [
        ("paper_vqa", SHIPPED, ["scenes_vqa, scenes_ve instead of vqa", "student vilt_scenes instead", "grid: {}"]),
        ("scenes_smoke", SHIPPED, ["shot 100, 1000 instead of 40"]),
        ("scenes", {"student": ["uniter_scenes"], "shot": [50]}, []),
        ("scenes", SHIPPED, []),
        ("scenes", {"shot": [100], "seed": [99]}, []),
        ("paper_vqa", {}, []),
    ],
)  # fmt: skip
def test_lists_that_share_nothing_with_the_presets_are_named(
    project: Project, experiment: str, grid: dict[str, Any], facts: list[str]
) -> None:
    project.params(experiment=experiment, grid=grid)
    note = composition.compose().note
    assert bool(note) == bool(facts)
    for fact in facts:
        assert fact in note


def test_data_of_ones_own_are_meant(project: Project) -> None:
    project.conf("dataset/mine.yaml", "defaults: [scenes_smoke_vqa, _self_]\nname: mine\n")
    project.params(experiment="scenes", grid={"dataset": ["mine"], "shot": [20]})
    assert composition.compose().note == ""
