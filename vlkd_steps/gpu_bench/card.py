"""The accelerator: its name, its memory, and its peak rate."""

from dataclasses import dataclass
from functools import cache

import torch

SHEETS = {  # dense TFLOP/s of the NVIDIA data sheets in bf16 (fp16 if there is none), tf32, fp32
    "H200": (989, 494, 67),
    "H100 PCIe": (756, 378, 51),
    "H100": (989, 494, 67),
    "A100": (312, 156, 19.5),
    "A40": (150, 75, 37),
    "A10": (125, 62, 31),
    "L40S": (362, 183, 92),
    "L4": (121, 60, 30),
    "RTX 4090": (165, 83, 83),
    "RTX 3090": (71, 36, 36),
    "V100": (125, 15.7, 15.7),
    "T4": (65, 8.1, 8.1),
}
"""By a part of the device's name; the first match counts."""
PRECISIONS = ("bf16", "tf32", "fp32")


@dataclass(frozen=True)
class Card:
    """A device that computes.

    Attributes:
        peak: operations per second, from the data sheet or, if that is unknown, from a large matrix product.
        source: ``data sheet`` or ``measured``.
        memory: bytes; None on a CPU.
    """

    name: str
    peak: float
    source: str
    memory: int | None


@cache
def of(device: torch.device, precision: str) -> Card:
    """The card behind a device, with its peak in `precision`."""
    if device.type != "cuda":
        return Card(f"CPU, {torch.get_num_threads()} threads", matrix_rate(device, precision), "measured", None)
    about = torch.cuda.get_device_properties(device)
    known = next((sheet for part, sheet in SHEETS.items() if part in about.name), None)
    if known is None:
        return Card(about.name, matrix_rate(device, precision), "measured", about.total_memory)
    return Card(about.name, 1e12 * known[PRECISIONS.index(precision)], "data sheet", about.total_memory)


def matrix_rate(device: torch.device, precision: str) -> float:
    """Operations per second of a square matrix product."""
    from vlkd_steps.core import hardware
    from vlkd_steps.gpu_bench.timing import repeated

    side = 8192 if device.type == "cuda" else 1024
    matrix = torch.randn(side, side, device=device, dtype=torch.bfloat16 if precision == "bf16" else torch.float32)
    with hardware.tf32(device.type, precision == "tf32"):
        return 2 * side**3 / repeated(lambda: matrix @ matrix, 1.0, device)
