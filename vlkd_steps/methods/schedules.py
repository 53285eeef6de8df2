"""How the strength of distillation goes over a run: lambda(t) / lambda0, with t from 0 (its begin) to 1 (its end)."""

import math
from collections.abc import Callable

Schedule = Callable[[float], float]


def linear(t: float) -> float:
    """1 - t (PAPERS 1.2)."""
    return 1 - t


def constant(t: float) -> float:
    """1."""
    return 1.0


def cosine(t: float) -> float:
    """(1 + cos(pi t)) / 2."""
    return (1 + math.cos(math.pi * t)) / 2


SCHEDULES: dict[str, Schedule] = {"linear": linear, "constant": constant, "cosine": cosine}
