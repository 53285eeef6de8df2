import pytest

from vlkd_steps.config.models.recipe import Recipe
from vlkd_steps.core.errors import UserError


def test_mistakes_in_the_recipe_are_named() -> None:
    good = {"steps": 4, "batch_size": 2, "learning_rate": 0.1}
    for change, message in (
        ({"learning_rat": 1}, "unknown key 'learning_rat' at training; did you mean 'learning_rate'"),
        ({"steps": 0}, "training.steps is 0; write a whole number above 0"),
        ({"batch_size": 2.5}, "training.batch_size is 2.5"),
        ({"learning_rate": "fast"}, "training.learning_rate is 'fast'; write a number above 0"),
        ({"steps": True}, "training.steps is true; write a whole number above 0"),
        ({"evaluate_every": -1}, "training.evaluate_every is -1; write a whole number of steps, or 0 for never"),
        ({"warmup": 100}, "training.warmup is 100; write a share of the steps, from 0 to 1"),
        ({"weight_decay": -1}, "write a number, 0 or more"),
        ({"betas": 0.9}, r"training.betas is 0.9; write two numbers from 0 to below 1, such as \[0.9, 0.98\]"),
        ({"compile": "yes"}, "training.compile is 'yes'; write true or false"),
        ({"device": "gpu"}, "training.device is 'gpu'; choose from: auto, cpu, cuda, mps"),
        ({"device": "cuda:1"}, "training.device is 'cuda:1'; write cuda, and .* CUDA_VISIBLE_DEVICES=1"),
        ({"precision": "fp16"}, "training.precision is 'fp16'; choose from: auto, fp32, tf32, bf16"),
    ):
        with pytest.raises(UserError, match=message):
            Recipe.of(good | change)
    assert Recipe.of(good | {"learning_rate": "4e-3"}).learning_rate == 0.004
    with pytest.raises(UserError, match=r"training\.steps is missing"):
        Recipe.of({"batch_size": 2, "learning_rate": 0.1})
