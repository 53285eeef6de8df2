"""Visual commonsense reasoning (VCR): choose a question's answer among four, then the rationale of the right answer.

An annotation is an item of two rows, ``<annotation>:answer`` (Q->A) and ``<annotation>:rationale`` (QA->R). Both enter
a subset or neither does, and methods are compared by each and by their conjunction, Q->AR.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from vlkd_steps.tasks import Metric, Task

if TYPE_CHECKING:
    import polars as pl

ANSWER, RATIONALE = "answer", "rationale"


class Reasoning(Task):
    head = "choices"
    metric = "vcr"
    compared_by = (Metric("q_a", "Q→A"), Metric("qa_r", "QA→R"), Metric("q_ar", "Q→AR"))
    rows = 2
    choices = 4
    tokens = 45
    unit = "annotations"
    right = "the choice is the annotated one"
    stated_gains: ClassVar[Mapping[str, float]] = {"low-shot": 51.9, "shift": 71.3, "full": 2.0}

    def items(self, instance_ids: "pl.Series") -> "pl.Series":
        return instance_ids.str.replace(":[a-z_0-9]+$", "")

    def compared(self, scores: "pl.DataFrame", metric: str) -> "pl.DataFrame":
        """Of Q->A or QA->R its own rows; of Q->AR the Q->A rows, right where the other is right as well."""
        import polars as pl

        answers, rationales = (
            scores.filter(pl.col("instance_id").str.ends_with(f":{kind}")) for kind in (ANSWER, RATIONALE)
        )
        if metric == "q_a":
            return answers
        if metric == "qa_r":
            return rationales
        other = rationales.select(item=self.items(rationales["instance_id"]), other="score")
        both = answers.with_columns(item=self.items(answers["instance_id"]))
        both = both.join(other, on="item", how="left", maintain_order="left")
        return both.with_columns(score=pl.col("score") * pl.col("other")).select(scores.columns)

    def gold(self, row: Mapping[str, Any]) -> str:
        """The text of the right choice."""
        return self.said(row, str(row["label"]))

    def said(self, row: Mapping[str, Any], answer: str) -> str:
        """The text of a choice, which a prediction names by its number."""
        text: str = row["choices"][int(answer)]
        return text


TASK = Reasoning()
