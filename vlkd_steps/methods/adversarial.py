"""VILLA's adversarial fine-tuning (docs/papers.md, "VILLA's adversary"): the task loss under small shifts of the input.

The shifts, of the word embeddings and of the regions' features, begin at zero and climb the gradient of the very loss
that the student is trained on.
"""

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from vlkd_steps.config.models.recipe import Adversarial
from vlkd_steps.data.batches import Batch
from vlkd_steps.data.inputs import Inputs
from vlkd_steps.students.heads import task_loss

LEAST = 1e-8
"""Of a gradient's norm (official)."""


def adversarial_loss(student: nn.Module, batch: Batch, clean: Tensor, settings: Adversarial) -> Tensor:
    """The mean over `settings.steps` shifts of L_task + kl_weight * KL, scalar.

    Args:
        clean: the logits of the batch without a shift; the KL term trains through them too (official).
    """
    shifts = zeros(student, batch.inputs, settings)
    losses = []
    for number in range(settings.steps):
        for shift in shifts.values():
            shift.requires_grad_()
        logits = student(shifted(batch.inputs, shifts)).logits
        losses.append(task_loss(logits, batch.labels) + settings.kl_weight * symmetric_kl(logits, clean))
        if number + 1 < settings.steps:
            gradients = torch.autograd.grad(losses[-1], list(shifts.values()), retain_graph=True)
            moved = zip(shifts.items(), gradients, strict=True)
            shifts = {name: climbed(shift, gradient, settings.rate) for (name, shift), gradient in moved}
    return torch.stack(losses).mean()


def zeros(student: nn.Module, inputs: Inputs, settings: Adversarial) -> dict[str, Tensor]:
    """No shift: of ``text``, [N, T, H], and of ``image``, [N, R, D], as far as `settings.of` names them."""
    assert inputs.regions is not None
    features = inputs.regions.features
    shapes = {"text": (*inputs.tokens.shape, student.width), "image": tuple(features.shape)}
    return {name: features.new_zeros(shapes[name], dtype=torch.float32) for name in settings.of}


def shifted(inputs: Inputs, shifts: dict[str, Tensor]) -> Inputs:
    """The inputs with these shifts."""
    assert inputs.regions is not None
    regions = inputs.regions
    if "image" in shifts:
        regions = replace(regions, features=regions.features + shifts["image"])
    return replace(inputs, regions=regions, word_shift=shifts.get("text"))


def climbed(shift: Tensor, gradient: Tensor, rate: float) -> Tensor:
    """The shift [N, L, D] after a step of length `rate`, for each row along its own gradient."""
    norm = gradient.float().flatten(1).norm(dim=1).clamp(min=LEAST)[:, None, None]
    return (shift + rate * gradient / norm).detach()


def symmetric_kl(logits: Tensor, clean: Tensor) -> Tensor:
    """Both KL divergences of the softmax over classes, or over a choice's two logits, scalar.

    As the official code: a mean over all elements, times the number of classes where there are classes, [B, C].
    """
    rows, of_clean = (each.float().flatten(0, -2) for each in (logits, clean))
    shifted_log, clean_log = functional.log_softmax(rows, 1), functional.log_softmax(of_clean, 1)
    both = functional.kl_div(shifted_log, clean_log.exp(), reduction="none") + functional.kl_div(
        clean_log, shifted_log.exp(), reduction="none"
    )
    return both.mean() * (1 if logits.ndim == 3 else logits.shape[1])
