"""Valid names of devices and precisions. Imports no torch: the configuration is checked before anything runs."""

import re
from typing import Literal, get_args

Device = Literal["auto", "cpu", "cuda", "mps"]
Precision = Literal["auto", "fp32", "tf32", "bf16"]
DEVICES: tuple[str, ...] = get_args(Device)
PRECISIONS: tuple[str, ...] = get_args(Precision)


def other_device(name: object) -> str:
    """What to write instead of a device that does not exist."""
    numbered = re.fullmatch(r"cuda:([0-9]+)", str(name))
    if numbered:
        return f"write cuda, and choose the GPU by export CUDA_VISIBLE_DEVICES={numbered[1]}"
    return f"choose from: {', '.join(DEVICES)}"
