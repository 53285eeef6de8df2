from typing import Any

import pytest

from vlkd_steps.config.models.recipe import Recipe
from vlkd_steps.planning import cost


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, 3),  # forward, gradients of activations, gradients of weights
        ({"gradient_checkpointing": True}, 4),
        ({"adversarial": {"of": ["text"], "steps": 1, "rate": 1e-3, "kl_weight": 1.5}}, 6),
        ({"adversarial": {"of": ["text"], "steps": 3, "rate": 1e-3, "kl_weight": 1.5}}, 4 * 3 + 2),
    ],
)
def test_forward_passes_that_training_on_an_item_takes(changes: dict[str, Any], expected: float) -> None:
    recipe = Recipe.of({"steps": 1, "batch_size": 1, "learning_rate": 1, **changes})
    assert cost.passes(recipe) == expected
