"""How a run is optimised, and what its hardware may be called.

`Recipe` is a whole one, checked at composition and again by the run; `PartialRecipe` is what a preset, a student, a
shot, a task or a variant says of it. Its defaults and `rate` change results, so this module is part of the
fingerprints of training; what its values may be is said in `base`, which is not.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, model_validator

from vlkd_steps.config.models.base import (
    Betas,
    Count,
    Every,
    Flag,
    FromZero,
    Model,
    Positive,
    Sequence,
    Tokens,
    Warmup,
    shared_in_equal_parts,
    some,
    unique,
)
from vlkd_steps.config.validation import validated
from vlkd_steps.core.devices import Device, Precision


class Adversarial(Model):
    """Fine-tuning as VILLA's (`methods.adversarial`): `steps` shifts of text, image or both, each `rate` long."""

    of: Annotated[tuple[Literal["text", "image"], ...], Sequence, AfterValidator(some), AfterValidator(unique)]
    steps: Count
    rate: Positive
    kl_weight: FromZero


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
    keep: Literal["last", "resumable"] = "last"
    gradient_checkpointing: Flag = False
    compile: Flag = False
    adversarial: Adversarial | None = None


class Recipe(PartialRecipe):
    """How a run is optimised. `warmup` is a share of `steps`; a step is one update, of `accumulation` batches.

    `batch_size` counts the rows of all processes together. `tokens_per_batch` above 0 replaces it: batches are as
    large as so many tokens allow (`token_budget`), of all processes together as well. A finished run keeps its weights
    (``keep: last``), or also the checkpoint with the optimizer and the best one (``resumable``). From `threads` on, the
    rest is in hardware.py.
    """

    steps: Count
    batch_size: Count
    learning_rate: Positive

    @model_validator(mode="after")
    def _shared_in_equal_parts(self) -> Self:
        if not self.tokens_per_batch:
            shared_in_equal_parts(self.batch_size, self.processes)
        return self

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
