"""Visual question answering (VQA v2, VQA-CP, OK-VQA): ten people's answers to a question about an image."""

import json
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from vlkd_steps.tasks import Task

if TYPE_CHECKING:
    import polars as pl

COMMON_QUESTION_TYPES = 10


class QuestionAnswering(Task):
    """A class is an answer of the data set's vocabulary; any text may be the answer of a student that writes."""

    head = "classes"
    in_words = True
    metric = "vqa"
    tokens = 10
    hub_name = "visual-question-answering"
    right_from = 0.6  # what two of ten annotators give; one gives 0.3
    right = "at least two of the ten annotators gave the answer, a VQA score of 0.6 or more"
    stated_gains: ClassVar[Mapping[str, float]] = {"low-shot": 9.0, "full": 1.3}

    def strata(self, items: "pl.DataFrame") -> "pl.Series":
        """Answer type x the ten commonest question types."""
        import polars as pl

        commonest = (
            items.group_by("group")
            .len()
            .sort(["len", "group"], descending=[True, False])
            .head(COMMON_QUESTION_TYPES)["group"]
        )
        kind = pl.when(pl.col("group").is_in(commonest.implode())).then(pl.col("group")).otherwise(pl.lit("(other)"))
        return items.select(pl.concat_str(pl.col("answer_type"), pl.lit(" | "), kind)).to_series()

    def gold(self, row: Mapping[str, Any]) -> str:
        """The commonest answer, as the official annotation file names it."""
        return str(json.loads(row["extra"] or "{}").get("multiple_choice_answer", ""))

    def annotated(self, row: Mapping[str, Any]) -> str:
        """The answers with their counts, the most frequent first: ``bottom 6, top 3, middle 1``."""
        answers = json.loads(row["extra"] or "{}").get("answers", [])
        counts = Counter(record["answer"] for record in answers).most_common()
        return ", ".join(f"{answer} {count}" for answer, count in counts) or self.gold(row)


TASK = QuestionAnswering()
