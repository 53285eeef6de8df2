"""Batch normalisation over the rows of all processes; torch's own `SyncBatchNorm` has no CPU.

Without it every process would normalise over its own rows, and two processes would train a different model than one.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from vlkd_steps.core import distributed

POSITIONS = (0, 2, 3)  # all dimensions of [B, C, H, W] but the channels


class SharedBatchNorm(nn.Module):
    """A `BatchNorm2d` whose mean and variance are those of the whole batch, with the parameters and buffers of `own`.

    timm's batch norms include the layers that follow them (drop, act); so does this one.
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(self, own: nn.BatchNorm2d) -> None:
        super().__init__()
        self.weight, self.bias = own.weight, own.bias
        for name, buffer in own.named_buffers():
            self.register_buffer(name, buffer)
        self.eps, self.momentum = own.eps, own.momentum or 0.0
        self.after = nn.Sequential(*(own.get_submodule(name) for name in ("drop", "act") if hasattr(own, name)))

    def forward(self, images: Tensor) -> Tensor:
        """[B / N, C, H, W] -> the same, computed in the precision of the statistics."""
        if not self.training:
            known = self.running_mean, self.running_var, self.weight, self.bias
            return self.after(functional.batch_norm(images, *known, training=False, eps=self.eps))
        values = images.to(self.running_mean.dtype)
        count = values.numel() // values.shape[1] * distributed.count()
        mean = _Total.apply(values.sum(POSITIONS)) / count
        apart = values - mean[:, None, None]
        variance = _Total.apply(apart.square().sum(POSITIONS)) / count
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1), self.momentum)
            self.num_batches_tracked += 1
        scale = self.weight * (variance + self.eps).rsqrt()
        return self.after((apart * scale[:, None, None] + self.bias[:, None, None]).to(images.dtype))


class _Total(torch.autograd.Function):
    """The sum over the processes, whose gradient is summed over the processes too."""

    @staticmethod
    def forward(context: Any, own: Tensor) -> Tensor:
        return distributed.summed(own)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        return distributed.summed(gradient)


def share(model: nn.Module) -> None:
    """Make every `BatchNorm2d` of `model` use the rows of all processes; no change with a single process."""
    if distributed.count() == 1:
        return
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.BatchNorm2d):
                setattr(parent, name, SharedBatchNorm(child))
