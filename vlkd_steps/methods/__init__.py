"""One module per method. This file is read by light steps and must not import torch."""

KEEPS_TEACHER = frozenset({"plug_in"})
"""The methods whose student needs its teacher at inference; tables say so. Each such class says `keeps_teacher`."""

ROOMS = {"vlkd": "one_alignment", "baseline": "one_baseline"}
"""Method -> the room of `vlkd_steps.training` that does its runs, where that is not `one_run`."""


def room(method: str) -> str:
    """The module whose ``train_seeds(config)`` does the runs of a method."""
    return f"vlkd_steps.training.{ROOMS.get(method, 'one_run')}"
