"""VCR's three accuracies: Q->A, QA->R after the right answer, and Q->AR, where both must be right.

The choice with the highest score is taken, the first one of equal scores (numpy's argmax, as the official code does).

Example:
    >>> scores = np.zeros((1, 5, 4))
    >>> scores[0, 0, 2] = scores[0, 1 + 2, 1] = 1  # answer 2; after answer 2, rationale 1
    >>> percentages(*hits(scores, np.array([2]), np.array([3])))
    {'q_a': 100.0, 'qa_r': 0.0, 'q_ar': 0.0}
"""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vlkd_steps.core.errors import UserError

Hits = NDArray[np.bool_]
ANSWER, RATIONALE = "answer", "rationale"
"""The two kinds of items: a question's four answers, and the four rationales of its right answer."""


def hits(scores: NDArray[np.float64], answers: NDArray[np.int64], rationales: NDArray[np.int64]) -> tuple[Hits, Hits]:
    """Which items are right.

    Args:
        scores: [N, 5, 4]: the answers' scores, then the rationales' after each of the four answers.
        answers: [N], the gold answers.
        rationales: [N], the gold rationales.

    Returns:
        Q->A [N] and QA->R [N], the latter after the gold answer, whichever answer was chosen.
    """
    chosen = scores.argmax(axis=2)
    after_gold = chosen[np.arange(len(chosen)), 1 + answers]
    return chosen[:, 0] == answers, after_gold == rationales


def percentages(q_a: Hits, qa_r: Hits) -> dict[str, float]:
    """Q->A, QA->R and Q->AR over N items, in percent with two decimals."""
    return {
        name: round(100 * int(right.sum()) / len(right), 2)
        for name, right in (("q_a", q_a), ("qa_r", qa_r), ("q_ar", q_a & qa_r))
    }


class Scorer:
    """The VCR metric over one evaluation set of the pipeline, which holds an item for Q->A and one for QA->R.

    Args:
        instances: the set's rows, as `prepare` wrote them: `label`, `answer_type` ("answer" or "rationale"),
            and in `extra` the `pair_id` by which the two items of a question are joined.
    """

    def __init__(self, instances: pl.DataFrame) -> None:
        self.instances = instances
        pairs = [json.loads(extra or "{}").get("pair_id") for extra in instances["extra"]]
        self.rows: dict[str, dict[str, int]] = {}
        for row, (pair, kind, label) in enumerate(
            zip(pairs, instances["answer_type"], instances["label"], strict=True)
        ):
            name = instances["instance_id"][row]
            if label is None:
                raise UserError(f"instance {name} has no label, so it can be neither right nor wrong")
            if pair is None or kind not in (ANSWER, RATIONALE):
                raise UserError(
                    f"instance {name} has pair_id {pair!r} and answer_type {kind!r}; a VCR item needs a pair_id in "
                    f"`extra` and the answer_type {ANSWER!r} or {RATIONALE!r}"
                )
            if self.rows.setdefault(pair, {}).setdefault(kind, row) != row:
                raise UserError(f"instance {name} is a second {kind} item of {pair}; there can be one of each kind")
        for pair, kinds in self.rows.items():
            if len(kinds) < 2:
                absent = ANSWER if RATIONALE in kinds else RATIONALE
                raise UserError(f"{pair} has no {absent} item, so its Q->AR is not defined; cut sets by whole pairs")

    def score(self, predictions: pl.DataFrame) -> list[float]:
        """1 where the chosen index (column `prediction`) is the gold one, else 0, in the order of the instances."""
        return (predictions["prediction"] == self.instances["label"]).cast(pl.Float64).to_list()

    def metrics(self, scores: Sequence[float]) -> dict[str, Any]:
        """Q->A, QA->R and Q->AR; `accuracy` is the share of right choices over both kinds, as `score` averages."""
        right = np.array(scores) == 1
        q_a = right[[kinds[ANSWER] for kinds in self.rows.values()]]
        qa_r = right[[kinds[RATIONALE] for kinds in self.rows.values()]]
        return {"accuracy": round(100 * int(right.sum()) / len(right), 2), **percentages(q_a, qa_r)}
