import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vlkd_steps.datasets import vocabulary


def targets(answers, labels):
    """Soft targets of questions given as lists of ten answers."""
    raw = sorted({answer for given in answers for answer in given})
    codes = np.array([[raw.index(answer) for answer in given] for given in answers])
    made = vocabulary.soft_targets(codes, raw, labels)
    soft = [[(entry["label"], entry["score"]) for entry in row] for row in made.soft_labels.to_pylist()]
    return soft, made.label.to_pylist()


def test_the_vocabulary_counts_preprocessed_answers_and_is_sorted_by_string():
    answers = ["The Cat", "cat", "two", "2", "2", "dog"]
    assert vocabulary.build(answers, 2) == ["2", "cat"]
    assert vocabulary.build(answers, 1) == ["2", "cat", "dog"]
    assert vocabulary.build(answers, 9) == []


def test_scores_by_number_of_annotators():
    soft, label = targets([["a"] + ["b"] * 2 + ["c"] * 3 + ["d"] * 4], ["a", "b", "c", "d"])
    assert soft == [[(0, 0.3), (1, 0.6), (2, 0.9), (3, 1.0)]]
    assert label == [3]


def test_raw_answers_are_looked_up_unprocessed():
    """A raw "none" gets no label although it preprocesses to "0"; neither does "The cat"."""
    soft, label = targets([["none"] * 9 + ["0"], ["The cat"] * 10], ["0", "cat"])
    assert soft == [[(0, 0.3)], []]
    assert label == [0, None]


def test_the_first_label_wins_a_tie():
    assert targets([["b", "a"] * 5], ["a", "b"])[1] == [0]


@given(st.lists(st.lists(st.sampled_from("abcde"), min_size=10, max_size=10), max_size=20))
def test_columns_agree_with_a_loop(answers):
    labels = ["a", "c", "e"]
    expected = [
        [(n, vocabulary.SCORES[min(given.count(a), 4)]) for n, a in enumerate(labels) if a in given]
        for given in answers
    ]
    soft, label = targets(answers, labels) if answers else ([], [])
    assert soft == expected
    assert label == [max(row, key=lambda e: (e[1], -e[0]))[0] if row else None for row in expected]
