"""How a run is optimised, and what its hardware may be called: all that is said of ``training`` in a configuration.

`Recipe` is a whole one, checked at composition and again by the run; `PartialRecipe` is what a preset, a student, a
shot, a task or a variant says of it; `Training` is a preset's section.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field

from vlkd_steps.config.models.base import (
    PERCENTAGE,
    Count,
    Flag,
    FromZero,
    Model,
    Number,
    Positive,
    Sequence,
    Share,
    Whole,
    between,
    says,
)
from vlkd_steps.config.models.names import Task
from vlkd_steps.config.validation import validated
from vlkd_steps.core.devices import Device, Precision

_Beta = Annotated[Number, between(0, 1, open_high=True)]
Betas = Annotated[tuple[_Beta, _Beta], Sequence, says("two numbers from 0 to below 1, such as [0.9, 0.98]")]
Warmup = Annotated[Share, says("a share of the steps, from 0 to 1")]
Tokens = Annotated[Whole, says("a whole number of tokens, or 0 for batch_size")]
Every = Annotated[Whole, says("a whole number of steps, or 0 for never")]


class PartialRecipe(Model):
    """Some keys of a recipe; what is said more narrowly wins (`precedence`)."""

    steps: Count = 1
    batch_size: Count = 1
    learning_rate: Positive = 1.0
    warmup: Warmup = 0.1
    weight_decay: FromZero = 0.01
    clip: Positive = 2.0
    accumulation: Count = 1
    evaluate_every: Every = 0
    checkpoint_every: Count = 250
    head_multiplier: Positive = 1.0
    tokens_per_batch: Tokens = 0
    betas: Betas = (0.9, 0.98)  # UNITER's (stated)
    threads: Count = 1
    precision: Precision = "auto"
    device: Device = "auto"
    processes: Count = 1
    gradient_checkpointing: Flag = False
    compile: Flag = False


class Recipe(PartialRecipe):
    """How a run is optimised. `warmup` is a share of `steps`; a step is one update, of `accumulation` batches.

    `batch_size` counts the rows of all processes together. `tokens_per_batch` above 0 replaces it: batches are as
    large as so many tokens allow (`token_budget`), of all processes together as well. From `threads` on: hardware.py.
    """

    steps: Count
    batch_size: Count
    learning_rate: Positive

    @classmethod
    def of(cls, training: Mapping[str, Any]) -> Self:
        """The recipe in a configuration's ``training``.

        Raises:
            UserError: a key that is not known, a value that cannot be.
        """
        return validated(cls, training, "training")

    def rate(self, step: int) -> float:
        """Learning rate of a step: linear from 0 over the warm-up, then linear to 0 at the end."""
        warm = self.warmup * self.steps
        if step < warm:
            return self.learning_rate * (step + 1) / (warm + 1)
        return self.learning_rate * (self.steps - step) / max(1.0, self.steps - warm)


def by_text(given: Any) -> Any:
    """100: and "100": are one shot."""
    return {str(key): value for key, value in given.items()} if isinstance(given, Mapping) else given


ShotKey = Annotated[
    str, Field(pattern=rf"^({PERCENTAGE}|[1-9][0-9]*|full)$"), says("a shot, such as 100, 1pct or full")
]
ByShot = Annotated[dict[ShotKey, PartialRecipe], BeforeValidator(by_text)]


class Training(PartialRecipe):
    """A preset's ``training``: the recipe of all runs, and what differs by shot and by task."""

    by_shot: ByShot | None = None
    by_task: dict[Task, PartialRecipe] | None = None
