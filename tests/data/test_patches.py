import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vlkd_steps.core.errors import UserError
from vlkd_steps.data.patches import grid_locations, resampled, side_of


def test_area_interpolation_by_hand() -> None:
    grid = torch.arange(16.0)[None, :, None]  # 4 x 4, row by row
    assert resampled(grid, 2)[0, :, 0].tolist() == [2.5, 4.5, 10.5, 12.5]
    assert resampled(grid, 4) is grid
    assert resampled(grid, 8).shape == (1, 64, 1)
    assert resampled(grid, 8)[0, 8:16, 0].tolist() == [0, 0, 1, 1, 2, 2, 3, 3]  # row 1 of 8 is row 0 of 4


@given(st.integers(1, 6), st.integers(1, 6))
def test_a_constant_grid_stays_constant_and_the_mean_of_whole_areas_is_kept(own: int, side: int) -> None:
    grid = torch.full((2, own * own, 3), 1.5)
    assert torch.allclose(resampled(grid, side), torch.full((2, side * side, 3), 1.5))
    if own % side == 0:
        drawn = torch.randn(2, own * own, 3, generator=torch.Generator().manual_seed(own))
        assert torch.allclose(resampled(drawn, side).mean(1), drawn.mean(1), atol=1e-6)


def test_locations_are_those_of_the_cells() -> None:
    found = grid_locations(2)
    assert found[1].tolist() == [0.5, 0.0, 1.0, 0.5, 0.5, 0.5, 0.25]  # right of the first row
    assert found[2].tolist() == [0.0, 0.5, 0.5, 1.0, 0.5, 0.5, 0.25]


def test_tokens_that_are_no_grid() -> None:
    assert side_of(9) == 3
    with pytest.raises(UserError, match=r"10 visual tokens form no square grid.*leave patches out"):
        side_of(10)
