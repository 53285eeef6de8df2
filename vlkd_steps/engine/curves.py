"""The points of a run's curves: means over a window of steps, whose values stay on the device until they are read.

Reading a value makes the CPU wait for the GPU. So a step's losses and gradient norm are read together with those of
the other steps since the last reading: when a window ends, and before anything else that needs them.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

WINDOW = 25  # steps whose mean makes one point of a curve


@dataclass
class Step:
    """The results of a step so far.

    Attributes:
        number: from 0.
        batches: for each batch its number, the losses' names, their means over the processes, and this process's own.
        norm: of the gradient; values: those known without waiting.
    """

    number: int
    batches: list[tuple[int, list[str], Tensor, Tensor]] = field(default_factory=list)
    norm: Tensor | None = None
    values: dict[str, float] = field(default_factory=dict)

    def tensors(self) -> Iterator[Tensor]:
        for _, _, means, _ in self.batches:
            yield means
        if self.norm is not None:
            yield self.norm.detach().reshape(1)


@dataclass(frozen=True)
class NotFinite:
    """A non-finite loss or gradient: its step and batch, and all losses of the batch, also this process's own.

    Attributes:
        losses: with ``gradient_norm``, where that is what is not finite; the batch is then the step's last one.
    """

    step: int
    batch: int
    losses: Mapping[str, float]
    own: Tensor


class Curves:
    """The sums of the current window.

    Attributes:
        window: for each name the total and the number of values: JSON, saved, so that a resumed run's curve is equal.
        loss: the sum of the losses of the last step that was read.
    """

    def __init__(self, window: dict[str, Any]) -> None:
        self.window = window
        self.loss = math.nan
        self._unread: list[Step] = []

    def add(self, step: Step) -> None:
        self._unread.append(step)

    def read(self) -> NotFinite | None:
        """Add the results of the steps since the last reading, up to the first non-finite one, which is returned."""
        steps, self._unread = self._unread, []
        tensors = [tensor for step in steps for tensor in step.tensors()]
        numbers = iter(torch.cat(tensors).tolist() if tensors else [])
        for step in steps:
            found: dict[str, float] = {}
            for batch, names, _, own in step.batches:
                losses = {name: next(numbers) for name in names}
                if not math.isfinite(sum(losses.values())):
                    return NotFinite(step.number, batch, losses, own)
                for name, loss in losses.items():
                    found[f"loss/{name}"] = found.get(f"loss/{name}", 0.0) + loss / len(step.batches)
            found["loss"] = self.loss = sum(found.values())
            if step.norm is not None:
                found["gradient_norm"] = norm = next(numbers)
                if not math.isfinite(norm):  # the step was taken with it
                    return NotFinite(step.number, batch, losses | {"gradient_norm": norm}, own)
            for name, value in {**step.values, **found}.items():
                self.count(name, value)
        return None

    def count(self, name: str, value: float) -> None:
        total, count = self.window.get(name, (0.0, 0))
        self.window[name] = (total + value, count + 1)

    def point(self) -> dict[str, float]:
        """The means of the window, which then starts again."""
        means = {name: total / count for name, (total, count) in self.window.items()}
        self.window.clear()
        return means
