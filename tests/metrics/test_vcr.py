"""VCR's three accuracies, by hand."""

import json

import numpy as np
import polars as pl
import pytest

from vlkd_steps.core.errors import UserError
from vlkd_steps.metrics import vcr


def one_hot(answer: int, *rationales: int) -> np.ndarray:
    """Scores [5, 4] of an item whose choice is `answer`, and `rationales[a]` after answer a."""
    return np.eye(4)[[answer, *rationales]]


def test_rationales_are_judged_after_the_right_answer_whatever_was_chosen() -> None:
    scores = np.stack(
        [
            one_hot(0, 1, 3, 3, 3),  # both right
            one_hot(2, 1, 3, 0, 3),  # wrong answer; after the right one, 0, the rationale is right
            one_hot(0, 2, 1, 1, 1),  # right answer, wrong rationale: those after other answers do not count
            one_hot(3, 2, 1, 1, 1),  # both wrong
        ]
    )
    q_a, qa_r = vcr.hits(scores, np.array([0, 0, 0, 0]), np.array([1, 1, 1, 1]))
    assert q_a.tolist() == [True, False, True, False]
    assert qa_r.tolist() == [True, True, False, False]
    assert vcr.percentages(q_a, qa_r) == {"q_a": 50.0, "qa_r": 50.0, "q_ar": 25.0}


def test_of_equal_scores_the_first_is_chosen() -> None:
    q_a, qa_r = vcr.hits(np.ones((2, 5, 4)), np.array([0, 1]), np.array([1, 0]))
    assert (q_a.tolist(), qa_r.tolist()) == ([True, False], [False, True])


def instances(*rows: tuple[str, str, str, int | None]) -> pl.DataFrame:
    """instance_id, pair_id, answer_type, label of each."""
    return pl.DataFrame(
        {
            "instance_id": [row[0] for row in rows],
            "answer_type": [row[2] for row in rows],
            "label": pl.Series([row[3] for row in rows], dtype=pl.Int64),
            "extra": [json.dumps({"pair_id": row[1]}) for row in rows],
        }
    )


TWO = [("a-q", "a", "answer", 0), ("b-r", "b", "rationale", 3), ("a-r", "a", "rationale", 1), ("b-q", "b", "answer", 2)]


def test_scorer_joins_the_two_items_of_a_question() -> None:
    scorer = vcr.Scorer(instances(*TWO))
    scores = scorer.score(pl.DataFrame({"prediction": [0, 3, 1, 1]}))  # only b's answer is wrong
    assert scores == [1.0, 1.0, 1.0, 0.0]
    assert scorer.metrics(scores) == {"accuracy": 75.0, "q_a": 50.0, "qa_r": 100.0, "q_ar": 50.0}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (TWO[:3], "b has no answer item, so its Q->AR is not defined"),
        ([*TWO, ("b-2", "b", "answer", 1)], "instance b-2 is a second answer item of b"),
        ([("a-q", "a", "answer", None)], "instance a-q has no label"),
        ([("a-q", "a", "what", 1)], "instance a-q has pair_id 'a' and answer_type 'what'"),
    ],
)
def test_sets_that_have_no_joint_accuracy_are_refused(rows: list, message: str) -> None:
    with pytest.raises(UserError, match=message):
        vcr.Scorer(instances(*rows))
