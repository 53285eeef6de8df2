"""Schedules of the distillation strength over a run: lambda(t) / lambda0, with t from 0 (start) to 1 (end)."""

import math
from collections.abc import Callable

Schedule = Callable[[float], float]


def linear(t: float) -> float:
    """1 - t."""
    return 1 - t


def constant(t: float) -> float:
    """1."""
    return 1.0


def cosine(t: float) -> float:
    """(1 + cos(pi t)) / 2."""
    return (1 + math.cos(math.pi * t)) / 2


SCHEDULES: dict[str, Schedule] = {"linear": linear, "constant": constant, "cosine": cosine}
