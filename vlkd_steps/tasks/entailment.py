"""Visual entailment (SNLI-VE): does the image entail a sentence, contradict it, or neither?"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from vlkd_steps.tasks import Task

if TYPE_CHECKING:
    import polars as pl


class Entailment(Task):
    """Three classes, in UNITER's order; a row's `group` is the name of its class."""

    head = "classes"
    metric = "accuracy"
    labels = ("contradiction", "entailment", "neutral")
    tokens = 14
    asked_for = "The hypothesis"
    unit = "hypotheses"
    right = "the class is the gold label"
    stated_gains: ClassVar[Mapping[str, float]] = {"low-shot": 6.6, "full": 3.0}

    def strata(self, items: "pl.DataFrame") -> "pl.Series":
        return items["group"]

    def gold(self, row: Mapping[str, Any]) -> str:
        return str(row["group"])


TASK = Entailment()
