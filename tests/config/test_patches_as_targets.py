"""A teacher's patches are compared with a grid alone: which students a method with that target takes."""

import pytest
from user_files import PRESET, Project, holds

from vlkd_steps.config import composition

CELLS = "boxes: grid\ngrid: 3\nwhole_image: false\n"
"""Regions that are a grid of 3 x 3."""


def write(project: Project, method: str, regions: str) -> None:
    project.conf("teacher/mine.yaml", f"defaults: [boxes_scenes, _self_]\nname: mine\n{regions}")
    project.conf("student/mine.yaml", "defaults: [uniter_scenes, _self_]\nname: mine\nregions: mine\n")
    variant = f"{{method: {method}, teacher: clip_scenes_patches, targets: [image, patches], adaptive: false}}"
    preset = f"  student: [mine]\n  variant: [finetune, mine]\nvariants: {{mine: {variant}}}\n"
    project.conf("experiment/mine.yaml", PRESET + preset)
    project.params(experiment="mine", grid={})


@pytest.mark.parametrize(
    ("method", "regions"),
    [
        ("mad", "whole_image: false\nmax_regions: 4\n"),  # a square number, if the image has as many
        ("clip_td", CELLS.replace("false", "true")),
        ("clip_td", CELLS + "max_regions: 4\n"),
        ("clip_td", CELLS + "by_dataset: {scenes_smoke_vqa: {boxes: metadata}}\n"),
    ],
)
def test_regions_are_no_grid(project: Project, method: str, regions: str) -> None:
    write(project, method, regions)
    holds(project.message(), "scenes_smoke_vqa mine mine", f"method {method}", "mine reads regions", "leave patches")


def test_regions_that_are_all_cells_are_a_grid(project: Project) -> None:
    write(project, "clip_td", CELLS)
    assert composition.compose(project.folder / "params.yaml").students["mine"].regions == "mine"
