"""A model of one weight, its batches and its recipe: small enough to compute by hand."""

from typing import Any

import torch
from torch import nn

from vlkd_steps.config.models.recipe import Recipe
from vlkd_steps.data.batches import Batch
from vlkd_steps.data.inputs import Inputs


class Line(nn.Module):
    """Predicts labels from the first pixel; `spoil` makes the loss of one step infinite."""

    def __init__(self, spoil: int | None = None) -> None:
        super().__init__()
        self.layer, self.norm, self.spoil = nn.Linear(1, 1), nn.LayerNorm(1), spoil
        nn.init.zeros_(self.layer.weight)
        nn.init.zeros_(self.layer.bias)

    def forward(self, batch: Batch, step: int) -> dict[str, torch.Tensor]:
        x = batch.inputs.images[:, :1, 0, 0].float()
        error = (self.layer(x) - batch.labels).square().mean()
        return {"task": error / 0.0 if step == self.spoil else error, "pull": 0.5 * self.layer.bias.square().sum()}


def batch_of(number: int) -> Batch:
    """Pixels number + 1 and number + 2, each its own label."""
    images = torch.tensor([number + 1, number + 2], dtype=torch.uint8)[:, None, None, None].expand(2, 3, 1, 1)
    one = torch.ones(2, 1, dtype=torch.int64)
    return Batch(Inputs(one, one, one, images), images[:, 0, 0].float(), one[:, 0], one[:, 0])


def recipe(**changes: Any) -> Recipe:
    settings: dict[str, Any] = {"steps": 8, "batch_size": 2, "learning_rate": 0.1, "checkpoint_every": 4}
    return Recipe.of(settings | changes)
