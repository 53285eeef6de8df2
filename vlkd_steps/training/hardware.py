"""What a run computes on: device, precision and threads, decided from the configuration and the hardware."""

import os
from collections.abc import Mapping
from typing import Any

import torch
from accelerate import Accelerator

from vlkd_steps.errors import UserError

DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("auto", "fp32", "bf16")


def accelerator(training: Mapping[str, Any]) -> Accelerator:
    """Accelerate's view of the chosen device and precision, with torch's threads set.

    On a GPU deterministic algorithms are on, so that a run can be repeated bit for bit (DESIGN 6).

    Raises:
        UserError: a device that is not here; several processes, which no run of this project uses yet.
    """
    device = resolve_device(training.get("device", "auto"))
    precision = resolve_precision(training.get("precision", "auto"), device)
    torch.set_num_threads(int(training.get("threads", 1)))
    if device == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
    chosen = Accelerator(mixed_precision="bf16" if precision == "bf16" else "no", cpu=device == "cpu")
    if chosen.num_processes > 1:
        raise UserError(
            f"training was started in {chosen.num_processes} processes (accelerate launch or torchrun); "
            "a run trains in one: start it with python -m, and runs beside each other with snakemake --jobs"
        )
    return chosen


def resolve_device(name: str) -> str:
    """``auto`` is the best there is: cuda, then mps, then cpu."""
    if name not in DEVICES:
        raise UserError(f"training.device is {name!r}; choose from: {', '.join(DEVICES)}")
    here = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return next(device for device, present in here.items() if present)
    if not here[name]:
        raise UserError(f"training.device is {name}, but torch sees no such device here; write auto or cpu")
    return name


def resolve_precision(name: str, device: str) -> str:
    """``auto`` is bf16 where the hardware computes in it; emulated, it is five times slower than fp32 (ANCHORS 26)."""
    if name not in PRECISIONS:
        raise UserError(f"training.precision is {name!r}; choose from: {', '.join(PRECISIONS)}")
    if name != "auto":
        return name
    if device == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    if device == "cpu":
        return "bf16" if torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported() else "fp32"
    return "fp32"
