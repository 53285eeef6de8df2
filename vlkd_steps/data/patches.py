"""Square grids of patches, row by row, of students and teachers whose grids differ in size."""

import torch
from torch import Tensor
from torch.nn import functional

from vlkd_steps.core.errors import UserError


def side_of(patches: int) -> int:
    """The side of a square grid of so many patches.

    Raises:
        UserError: they form no square: the student sees regions, not a grid.
    """
    side = round(patches**0.5)
    if side * side != patches:
        raise UserError(
            f"the student's {patches} visual tokens form no square grid, so they match no patches of the "
            "teacher; leave patches out of the method's targets, or take a student that sees pixels"
        )
    return side


def resampled(grid: Tensor, side: int) -> Tensor:
    """A teacher's grid [B, P, W] on a grid of side x side by area interpolation (means over areas): [B, side^2, W]."""
    own = side_of(grid.shape[1])
    if own == side:
        return grid
    square = grid.transpose(1, 2).unflatten(2, (own, own))
    return functional.interpolate(square, size=(side, side), mode="area").flatten(2).transpose(1, 2)


def grid_locations(side: int) -> Tensor:
    """Locations of the patches of a grid, row by row, as in `Regions`: float32 [side^2, 7]."""
    edges = torch.arange(side) / side
    top, left = torch.meshgrid(edges, edges, indexing="ij")
    size = torch.full((side * side,), 1 / side)
    left, top = left.flatten(), top.flatten()
    return torch.stack([left, top, left + size, top + size, size, size, size * size], dim=1)
