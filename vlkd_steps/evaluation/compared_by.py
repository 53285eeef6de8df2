"""What a task is compared by: the accuracy of all its items or, where its module says so, several metrics.

Light on purpose: tables and the terminal ask it, and need none of what computes intervals.
"""

import polars as pl

from vlkd_steps.core import components

ACCURACY = "accuracy"
NO_PERCENTAGES = frozenset({"CIDEr"})
"""Metrics whose gains are no points of accuracy."""


def metrics_of(task: str) -> list[str]:
    """The names of a task's metrics."""
    return list(getattr(components.load("task", task), "COMPARED_BY", [ACCURACY]))


def by_metric(task: str, scores: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """The items that each of a task's metrics is the mean of.

    Args:
        scores: ``instance_id, image_id, score`` of every instance, as `evaluate` wrote them.
    """
    module = components.load("task", task)
    return module.by_metric(scores) if hasattr(module, "by_metric") else {ACCURACY: scores}
