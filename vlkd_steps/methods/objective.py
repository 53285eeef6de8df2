"""What every method is: an objective that turns a student's activations into named losses.

A method lives in a module of its own, ``methods/<name>.py``, whose last line names its class: ``METHOD = ...``.
Whatever it learns beside the student (projections to the teacher's width) belongs to the objective and is dropped
when training ends, so that the student's inference graph is that of plain fine-tuning.
"""

import difflib
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from vlkd_steps.core import components
from vlkd_steps.core.errors import UserError
from vlkd_steps.data.batches import Batch, Encoded, IndexedTensor
from vlkd_steps.students.output import StudentOutput


class Objective(nn.Module):
    """Base of all methods.

    Args:
        settings: the method's configuration (`conf/method/<name>.yaml` with the preset's changes).
        steps: of the whole run; a schedule over time is a function of step / steps.
    """

    needs_teacher: ClassVar[bool] = True
    keeps_teacher: ClassVar[bool] = False
    """Whether the student sees the teacher's patches instead of pixels, at inference too (`methods.KEEPS_TEACHER`)."""
    settings_of: ClassVar[dict[str, tuple[Any, ...]]] = {}
    """Name of each setting -> the values it may have, or the types where it is a number."""

    def __init__(self, settings: Mapping[str, Any], steps: int) -> None:
        super().__init__()
        self.settings = {key: value for key, value in settings.items() if key != "name"}
        self.steps = steps
        check(self.settings, self.settings_of, settings.get("name", type(self).__name__))

    def prepare(self, data: Encoded, store: Any, seed: int) -> dict[str, IndexedTensor | Tensor]:
        """Tensors with one row per training item, made once before the first step; they come back in ``Batch.extra``.

        Args:
            store: the teacher's `FeatureStore`, or None without a teacher.
            seed: of the run.
        """
        return {}

    def project(self, student_width: int, extra: Mapping[str, IndexedTensor | Tensor]) -> None:
        """Create the projections, now that the widths of the teacher's features in `extra` are known."""

    def observe(self, output: StudentOutput, batch: Batch) -> dict[str, float]:
        """What to journal at an evaluation beside the losses: feature errors, shares of chosen words and the like."""
        return {}

    def forward(self, output: StudentOutput, batch: Batch, step: int) -> dict[str, Tensor]:
        """Scalar losses by name, weighted: the loop minimises their sum. ``task`` is the task's own.

        Several processes see a part of the batch each and average their losses and gradients. That is exact for a mean
        over rows; a loss that compares rows with each other gathers them first (`processes.gathered`).
        """
        raise TypeError(f"{type(self).__name__} does not define forward")


def create(settings: Mapping[str, Any], steps: int) -> Objective:
    """The objective of the method that ``settings["name"]`` names."""
    return method_class(settings["name"])(settings, steps)


def method_class(name: str) -> type[Objective]:
    """The class that the method `name` is.

    Raises:
        UserError: there is no such method.
    """
    found: type[Objective] = components.load("method", name).METHOD
    return found


def check(settings: Mapping[str, Any], allowed: Mapping[str, tuple[Any, ...]], method: str) -> None:
    """Refuse settings that are missing, unknown or of a wrong value, naming what is valid."""
    for key in settings:
        if key not in allowed:
            near = difflib.get_close_matches(key, allowed, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"it has: {', '.join(sorted(allowed)) or 'none'}"
            raise UserError(f"method {method} has no setting {key!r}; {hint}")
    for key, valid in allowed.items():
        if key not in settings:
            raise UserError(f"method {method}: setting {key!r} is missing; vlkd_steps/conf/method/ shows its default")
        for value in settings[key] if isinstance(settings[key], list) else [settings[key]]:
            if isinstance(valid[0], type):
                if isinstance(value, bool) or not isinstance(value, valid) or value < 0:
                    raise UserError(f"method {method}: {key} is {value!r}; write a number, zero or more")
            elif value not in valid:
                choices = ", ".join(str(v) for v in valid)
                raise UserError(f"method {method}: {key} is {value!r}; choose from: {choices}")


def projection(student_width: int, features: IndexedTensor | Tensor) -> nn.Linear:
    """A trained linear map from the student's width to that of `features` [..., D]."""
    teacher_width = (features.table if isinstance(features, IndexedTensor) else features).shape[-1]
    return nn.Linear(student_width, teacher_width)


class Distillation(nn.Module):
    """Student and objective as one module, so that accelerate wraps both and one optimizer trains both."""

    def __init__(self, student: nn.Module, objective: Objective) -> None:
        super().__init__()
        self.student = student
        self.objective = objective

    def forward(self, batch: Batch, step: int) -> dict[str, Tensor]:
        return self.objective(self._distilled(batch), batch, step)

    @torch.no_grad()
    def observe(self, batch: Batch) -> dict[str, float]:
        """`Objective.observe` in evaluation mode, so that it draws no dropout and changes no later step."""
        training = self.training
        self.eval()
        told = self.objective.observe(self._distilled(batch), batch)
        self.train(training)
        return told

    def _distilled(self, batch: Batch) -> StudentOutput:
        output: StudentOutput = self.student(batch.inputs)
        return output if batch.gold is None else output.of(batch.gold)


def as_float(array: Any) -> Tensor:
    """A numpy array of the feature store as a float32 tensor of its own."""
    return torch.tensor(array, dtype=torch.float32)
