"""How a run is optimised, and what its hardware may be called: all that is said of ``training`` in a configuration.

Without torch, so that every value is looked at before anything runs, and again by the run itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

from vlkd_steps.core.devices import DEVICES, PRECISIONS
from vlkd_steps.core.did_you_mean import nearest
from vlkd_steps.core.errors import UserError

HARDWARE = ("threads", "precision", "device", "processes", "gradient_checkpointing", "compile")  # read by hardware.py

COUNTS = ("steps", "batch_size", "accumulation", "checkpoint_every", "threads", "processes")
NUMBERS = ("learning_rate", "clip", "head_multiplier")
SWITCHES = ("gradient_checkpointing", "compile")


@dataclass(frozen=True)
class Recipe:
    """How a run is optimised. `warmup` is a share of `steps`; a step is one update, of `accumulation` batches.

    `batch_size` counts the rows of all processes together. `tokens_per_batch` above 0 takes its place: batches are as
    large as so many tokens allow (`token_budget`), of all processes together as well.
    """

    steps: int
    batch_size: int
    learning_rate: float
    warmup: float = 0.1
    weight_decay: float = 0.01
    clip: float = 2.0
    accumulation: int = 1
    evaluate_every: int = 0
    checkpoint_every: int = 250
    head_multiplier: float = 1.0
    tokens_per_batch: int = 0
    betas: tuple[float, float] = (0.9, 0.98)  # UNITER's (PAPERS 3, stated)

    @classmethod
    def of(cls, training: Mapping[str, Any]) -> Self:
        """The recipe in a configuration's ``training``.

        Raises:
            UserError: a key that is not known, a value that cannot be.
        """
        known = [f.name for f in fields(cls)]
        for key, value in training.items():
            if key not in known and key not in HARDWARE:
                raise UserError(f"training has no key {key!r}; {nearest(key, [*known, *HARDWARE])}")
            _check(key, value)
        missing = [key for key in ("steps", "batch_size", "learning_rate") if key not in training]
        if missing:
            raise UserError(
                f"training.{missing[0]} is missing; give it in the preset or in params.yaml under overrides"
            )
        own: dict[str, Any] = {
            key: tuple(value) if key == "betas" else value for key, value in training.items() if key in known
        }
        return cls(**own)

    def rate(self, step: int) -> float:
        """Learning rate of a step: linear from 0 over the warm-up, then linear to 0 at the end."""
        warm = self.warmup * self.steps
        if step < warm:
            return self.learning_rate * (step + 1) / (warm + 1)
        return self.learning_rate * (self.steps - step) / max(1.0, self.steps - warm)


def _check(key: str, value: Any) -> None:
    """Refuse a value of ``training`` that cannot be."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    whole = number and isinstance(value, int)
    if key in COUNTS and not (whole and value > 0):
        expected = "a whole number above 0"
    elif key == "tokens_per_batch" and not (whole and value >= 0):
        expected = "a whole number of tokens, or 0 for batch_size"
    elif key == "evaluate_every" and not (whole and value >= 0):
        expected = "a whole number of steps, or 0 for never"
    elif key in NUMBERS and not (number and value > 0):
        expected = "a number above 0" + _as_yaml_reads(value)
    elif key == "weight_decay" and not (number and value >= 0):
        expected = "a number from 0" + _as_yaml_reads(value)
    elif key == "betas" and not _are_betas(value):
        expected = "two numbers from 0 to below 1, such as [0.9, 0.98]"
    elif key == "warmup" and not (number and 0 <= value <= 1):
        expected = "a share of the steps, from 0 to 1"
    elif key in SWITCHES and not isinstance(value, bool):
        expected = "true or false"
    elif key == "device" and value not in DEVICES:
        raise UserError(f"training.device is {value!r}; choose from: {', '.join(DEVICES)}")
    elif key == "precision" and value not in PRECISIONS:
        raise UserError(f"training.precision is {value!r}; choose from: {', '.join(PRECISIONS)}")
    else:
        return
    raise UserError(f"training.{key} is {value!r}; write {expected}")


def _are_betas(value: Any) -> bool:
    pair = isinstance(value, list | tuple) and len(value) == 2
    return pair and all(isinstance(beta, int | float) and 0 <= beta < 1 for beta in value)


def _as_yaml_reads(value: Any) -> str:
    """YAML 1.1 takes 4e-3 for text, which nobody expects."""
    if isinstance(value, str):
        try:
            return f", such as {float(value):.1e} (with a point: YAML takes {value} for text)"
        except ValueError:
            pass
    return ""
