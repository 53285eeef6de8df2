"""The device and precision of a frozen model."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from vlkd_steps.core import hardware


def device_of(config: Mapping[str, Any]) -> str:
    """The device of a frozen model's configuration (default: the best available)."""
    return hardware.resolve_device(config.get("device", "auto"), f"device of teacher {config.get('name')}")


class Computing:
    """A teacher's device and precision, from its configuration and the hardware.

    Attributes:
        precision: fp32, tf32 or bf16.
        identity: a part of the teacher's identity; empty for fp32, which all hardware has.
    """

    def __init__(self, config: Mapping[str, Any], device: str) -> None:
        self.device = torch.device(device)
        self.precision = hardware.resolve_precision(
            config.get("precision", "auto"), self.device.type, f"precision of teacher {config.get('name')}"
        )
        self.identity = {} if self.precision == "fp32" else {"precision": self.precision}

    @contextlib.contextmanager
    def __call__(self) -> Iterator[None]:
        """A block of inference: weights stay float32, products and convolutions are computed in `precision`."""
        bf16 = torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")
        with torch.inference_mode(), bf16, hardware.tf32(self.device.type, self.precision == "tf32"):
            yield
