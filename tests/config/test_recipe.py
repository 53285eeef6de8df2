import pytest

from vlkd_steps.config.recipe import Recipe
from vlkd_steps.core.errors import UserError


def test_mistakes_in_the_recipe_are_named() -> None:
    good = {"steps": 4, "batch_size": 2, "learning_rate": 0.1}
    for change, message in (
        ({"learning_rat": 1}, "training has no key 'learning_rat'; did you mean 'learning_rate'"),
        ({"steps": 0}, "training.steps is 0; write a whole number above 0"),
        ({"batch_size": 2.5}, "training.batch_size is 2.5"),
        ({"learning_rate": "fast"}, "training.learning_rate is 'fast'; write a number above 0$"),
        ({"learning_rate": "4e-3"}, r"is '4e-3'; write a number above 0, such as 4.0e-03 \(with a point"),
        ({"steps": True}, "training.steps is True; write a whole number above 0"),
        ({"evaluate_every": -1}, "training.evaluate_every is -1; write a whole number of steps, or 0 for never"),
        ({"warmup": 100}, "training.warmup is 100; write a share of the steps, from 0 to 1"),
        ({"weight_decay": "1e-2"}, "write a number from 0, such as 1.0e-02"),
        ({"betas": 0.9}, r"training.betas is 0.9; write two numbers from 0 to below 1, such as \[0.9, 0.98\]"),
        ({"compile": "yes"}, "training.compile is 'yes'; write true or false"),
        ({"device": "gpu"}, "training.device is 'gpu'; choose from: auto, cpu, cuda, mps"),
        ({"precision": "fp16"}, "training.precision is 'fp16'; choose from: auto, fp32, bf16"),
    ):
        with pytest.raises(UserError, match=message):
            Recipe.of(good | change)
    with pytest.raises(UserError, match=r"training\.steps is missing"):
        Recipe.of({"batch_size": 2, "learning_rate": 0.1})
