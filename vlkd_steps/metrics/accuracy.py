"""Accuracy of a task of classes, such as SNLI-VE's three: plain, per class, and averaged over the classes."""

from collections.abc import Sequence
from typing import Any

import polars as pl

from vlkd_steps.core.errors import UserError
from vlkd_steps.metrics.percentages import by, macro, percent


class Scorer:
    """Accuracy over one evaluation set.

    Args:
        instances: the set's rows, as `prepare` wrote them (`label`: the number of the class; `group`: its name).
    """

    def __init__(self, instances: pl.DataFrame) -> None:
        unlabelled = instances.filter(pl.col("label").is_null())
        if len(unlabelled):
            raise UserError(
                f"instance {unlabelled['instance_id'][0]} has no label, so it can be neither right nor wrong; leave "
                "items without a gold label out of the evaluation set"
            )
        self.instances = instances

    def score(self, predictions: pl.DataFrame) -> list[float]:
        """1 where the predicted class (column `prediction`) is the gold one, else 0, in the order of the instances."""
        return (predictions["prediction"] == self.instances["label"]).cast(pl.Float64).to_list()

    def metrics(self, scores: Sequence[float]) -> dict[str, Any]:
        """Percentages to two decimals; `macro_accuracy` weighs the classes equally, whatever their shares."""
        table = self.instances.select("group").with_columns(pl.Series("score", scores, pl.Float64))
        return {
            "accuracy": percent(table["score"]),
            "macro_accuracy": macro(table, "group"),
            "by_label": by(table, "group"),
        }
