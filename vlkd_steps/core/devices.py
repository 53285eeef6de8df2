"""Valid names of devices and precisions. Imports no torch: the configuration is checked before anything runs."""

from typing import Literal, get_args

Device = Literal["auto", "cpu", "cuda", "mps"]
Precision = Literal["auto", "fp32", "tf32", "bf16"]
DEVICES: tuple[str, ...] = get_args(Device)
PRECISIONS: tuple[str, ...] = get_args(Precision)
