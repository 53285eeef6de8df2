"""Base class of objectives, which turn a student's activations into named losses.

A method's objective is in ``methods/<name>/objective.py``, whose last line names its class: ``OBJECTIVE = ...``; its
settings are declared in ``methods/<name>/__init__.py``.
Parameters other than the student's (projections to the teacher's width) belong to the objective and are dropped when
training ends, so that the student's inference graph is that of plain fine-tuning.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vlkd_steps.config.models.method import Settings, declaration
from vlkd_steps.config.models.recipe import Adversarial
from vlkd_steps.config.validation import validated
from vlkd_steps.core import components
from vlkd_steps.core.errors import UserError
from vlkd_steps.data.batches import Batch, Encoded, IndexedTensor
from vlkd_steps.methods.adversarial import adversarial_loss
from vlkd_steps.students.heads import task_loss
from vlkd_steps.students.output import StudentOutput
from vlkd_steps.teachers.targets.target_file import Targets

BLOCK = 4096
"""Rows that `by_blocks` makes at a time."""


class Objective(nn.Module):
    """Base of all methods.

    Args:
        settings: the method's, validated (`create`).
        steps: of the whole run; a schedule over time is a function of step / steps.
    """

    def __init__(self, settings: Any, steps: int) -> None:
        super().__init__()
        self.settings = settings
        self.steps = steps

    def prepare(
        self, data: Encoded, store: Any, seed: int, targets: Targets | None = None
    ) -> dict[str, IndexedTensor | Tensor]:
        """Tensors with one row per training item, made once before the first step; they come back in ``Batch.extra``.

        Args:
            store: the teacher's `FeatureStore`, or None without a teacher.
            seed: of the run.
            targets: what was computed for the method beforehand, if it declares any (`Method.targets`).
        """
        return {}

    def project(self, student_width: int, extra: Mapping[str, IndexedTensor | Tensor]) -> None:
        """Create the projections, once the widths of the teacher's features in `extra` are known."""

    def observe(self, output: StudentOutput, batch: Batch) -> dict[str, float]:
        """Further values to journal at an evaluation, such as feature errors and shares of selected words."""
        return {}

    def forward(self, output: StudentOutput, batch: Batch, step: int) -> dict[str, Tensor]:
        """Scalar losses by name, weighted: the loop minimises their sum. ``task`` is the task's own, the only one here.

        With several processes, each has a part of the batch and losses and gradients are averaged. That is exact for a
        mean over rows; a loss that compares rows with each other gathers them first (`distributed.gathered`).
        """
        return {"task": task_loss(output.logits, batch.labels)}


def create(settings: Mapping[str, Any], steps: int) -> Objective:
    """The objective of the method that ``settings["name"]`` names.

    Raises:
        UserError: there is no such method, or its settings cannot be.
    """
    found: type[Objective] = components.load_part("method", settings["name"], "objective").OBJECTIVE
    return found(checked(settings, steps), steps)


def checked(settings: Mapping[str, Any], steps: int) -> Settings:
    """The settings of a method, which composition has validated; validated again for jobs that were written by hand.

    Raises:
        UserError: there is no such method, or its settings cannot be.
    """
    name = settings["name"]
    found = validated(declaration(name).settings, settings, locate=lambda key: (f"method {name}", key))
    if mistake := found.mistake(steps):
        raise UserError(f"method {name}: {mistake}")
    return found


def projection(student_width: int, features: IndexedTensor | Tensor) -> nn.Linear:
    """A trained linear map from the student's width to that of `features` [..., D]."""
    teacher_width = (features.table if isinstance(features, IndexedTensor) else features).shape[-1]
    return nn.Linear(student_width, teacher_width)


class Distillation(nn.Module):
    """Student and objective as one module, so that accelerate wraps both and one optimizer trains both.

    Args:
        adversarial: of the recipe; the task loss is then that under shifts of the input, and all other losses are
            those without a shift (choice).
    """

    def __init__(self, student: nn.Module, objective: Objective, adversarial: Adversarial | None = None) -> None:
        super().__init__()
        self.student = student
        self.objective = objective
        self.adversarial = adversarial

    def forward(self, batch: Batch, step: int) -> dict[str, Tensor]:
        output = self._distilled(batch)
        losses: dict[str, Tensor] = self.objective(output, batch, step)
        if self.adversarial and "task" in losses:
            losses["task"] = adversarial_loss(self.student, batch, output.logits, self.adversarial)
        return losses

    @torch.no_grad()
    def observe(self, batch: Batch) -> dict[str, float]:
        """`Objective.observe` in evaluation mode, so that it uses no dropout and changes no later step."""
        training = self.training
        self.eval()
        values = self.objective.observe(self._distilled(batch), batch)
        self.train(training)
        return values

    def _distilled(self, batch: Batch) -> StudentOutput:
        output: StudentOutput = self.student(batch.inputs)
        return output if batch.gold is None else output.of(batch.gold)


def as_float(array: np.ndarray) -> Tensor:
    """An array of the feature store or of a target file as a float32 tensor, which shares its memory if it can."""
    return torch.from_numpy(np.require(array, np.float32, "W"))


def by_blocks(make: Callable[[slice], Tensor], count: int) -> Tensor:
    """`count` rows as one tensor [count, ...], made some thousands at a time.

    What `make` computes on the way then stays in the CPU's cache. For VCR it would be gigabytes.
    """
    first = make(slice(0, BLOCK))
    made = first.new_empty((count, *first.shape[1:]))
    made[:BLOCK] = first
    for start in range(BLOCK, count, BLOCK):
        made[start : start + BLOCK] = make(slice(start, start + BLOCK))
    return made
