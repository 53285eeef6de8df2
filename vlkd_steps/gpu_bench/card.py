"""The accelerator: its name, its memory, and its peak rate."""

import re
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
"""By the model's name, without `ASIDE`; the first one whose words are all in the device's name counts."""
ASIDE = re.compile(r"NVIDIA|Tesla|GeForce|PCIe|PCIE|SXM\d*|HBM\d\w*|\d+GB")
"""Words of a device's name that do not make it another model, as "Ti", "Laptop" or "MIG" do."""
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
        name = f"CPU, {torch.get_num_threads()} threads" if device.type == "cpu" else f"GPU ({device.type})"
        return Card(name, matrix_rate(device, precision), "measured", None)
    about = torch.cuda.get_device_properties(device)
    known = sheet(about.name)
    if known is None:
        return Card(about.name, matrix_rate(device, precision), "measured", about.total_memory)
    return Card(about.name, 1e12 * known[PRECISIONS.index(precision)], "data sheet", about.total_memory)


def sheet(name: str) -> tuple[float, float, float] | None:
    """The entry of `SHEETS` for a device, by its name as torch gives it; None for a model that is not listed."""
    words = set(re.split(r"[ -]", name))
    known = (of_model for model, of_model in SHEETS.items() if _is(set(model.split()), words))
    return next(known, None)


def _is(model: set[str], words: set[str]) -> bool:
    return model <= words and all(ASIDE.fullmatch(word) for word in words - model)


def matrix_rate(device: torch.device, precision: str) -> float:
    """Operations per second of a square matrix product."""
    from vlkd_steps.core import hardware
    from vlkd_steps.gpu_bench.timing import repeated

    side = 1024 if device.type == "cpu" else 8192
    matrix = torch.randn(side, side, device=device, dtype=torch.bfloat16 if precision == "bf16" else torch.float32)
    with hardware.tf32(device.type, precision == "tf32"):
        return 2 * side**3 / repeated(lambda: matrix @ matrix, 1.0, device)
