"""A grid of several blocks, each crossed on its own."""

import pytest
from compositions import sections

from vlkd_steps.config import composition, grid_blocks, jobs
from vlkd_steps.config.models.preset import GivenGrid, Grid, Preset
from vlkd_steps.core.errors import UserError

BLOCKS = Preset.model_validate(
    {
        "grid": {"dataset": ["a", "b"], "student": ["s"], "variant": ["x", "y"], "shot": [10, 20], "seed": [1, 2]},
        "grids": [{"dataset": ["a"]}, {"dataset": ["b"], "shot": ["full"]}, {"dataset": ["a"], "variant": ["y"]}],
        "reference": "x",
        "variants": {"x": {"method": "m"}, "y": {"method": "m"}},
        "training": {},
    }
)


def crossed(blocks: list[Grid]) -> list[tuple]:
    grid = {key: tuple(dict.fromkeys(v for block in blocks for v in getattr(block, key))) for key in Grid.model_fields}
    return sections(grid=Grid(**grid), blocks=blocks).cells


def test_blocks_are_crossed_each_on_its_own_and_united_without_duplicates() -> None:
    blocks = grid_blocks.blocks_of(BLOCKS, GivenGrid(), "p", "params.yaml")
    assert crossed(blocks) == [
        ("a", "s", "x", "10"), ("a", "s", "x", "20"), ("a", "s", "y", "10"), ("a", "s", "y", "20"),
        ("b", "s", "x", "full"), ("b", "s", "y", "full"),
    ]  # fmt: skip
    assert all(block.seed == (1, 2) for block in blocks)


def test_a_list_of_params_keeps_of_the_blocks_what_it_names() -> None:
    given = {"dataset": ["b", "a"], "shot": [20, "full"], "variant": ["x"], "seed": [7]}
    blocks = grid_blocks.blocks_of(BLOCKS, GivenGrid.model_validate(given), "p", "params.yaml")
    assert crossed(blocks) == [("a", "s", "x", "20"), ("b", "s", "x", "full")]
    assert all(block.seed == (7,) for block in blocks)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"shot": [30]}, "params.yaml: grid.shot names 30, which no block of experiment p has"),
        ({"dataset": ["b"], "shot": [10]}, "grid leaves nothing of the blocks of experiment p"),
    ],
)
def test_mistakes_in_blocks(given: dict, message: str) -> None:
    with pytest.raises(UserError) as mistake:
        grid_blocks.blocks_of(BLOCKS, GivenGrid.model_validate(given), "p", "params.yaml")
    assert message in str(mistake.value)


def test_a_preset_of_blocks_runs_only_them(params) -> None:
    composed = composition.compose(params(), experiment="scenes_protocol")
    found = {(cell[0], cell[2], cell[3]) for cell in composed.cells}
    assert ("scenes_vqa", "naive_kd", "3000") in found
    assert ("scenes_vqa", "naive_kd", "full") not in found
    assert ("scenes_ve_biased", "clip_td", "100") not in found
    assert ("scenes_ve_biased", "100") not in jobs.train_splits(composed)
    assert len(jobs.runs(composed)) == 5 * len(composed.cells)
