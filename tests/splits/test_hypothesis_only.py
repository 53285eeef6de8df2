import pytest

from vlkd_steps.core.errors import UserError
from vlkd_steps.splits import hypothesis_only
from vlkd_steps.splits.statements import Statements

CUES = {"sleeping": "contradiction", "outside": "entailment", "tall": "neutral"}


def statements(number, start, flip=()):
    """Three statements an image whose last word gives the label away, but for the items in `flip`."""
    ids, images, texts, labels = [], [], [], []
    for n in range(number):
        for word, label in CUES.items():
            item = len(ids)
            ids.append(f"p{start}-{item}")
            images.append(str(start + n))
            texts.append(f"Person {n % 5} is {word}.")
            labels.append("neutral" if item in flip and label != "neutral" else label)
    return Statements(ids, images, texts, labels)


def test_items_that_the_words_give_away_are_easy_and_the_others_hard():
    items = statements(10, 1000, flip={0, 1, 3})
    wrong = hypothesis_only.wrong_votes(statements(60, 0), items)
    assert wrong == [5 if n in (0, 1, 3) else 0 for n in range(30)]
    hard = hypothesis_only.chosen("hypothesis_hard", wrong)
    assert [n for n, kept in enumerate(hard) if kept] == [0, 1, 3]
    assert hypothesis_only.chosen("hypothesis_easy", wrong) == [not kept for kept in hard]


def test_a_scorer_does_not_see_the_images_that_it_leaves_out():
    """Only image x says "zeppelin": the scorer without it guesses neutral, the commonest, and the four others know."""
    train = statements(60, 0, flip=set(range(0, 180, 9)))
    for column, value in zip(
        (train.images, train.texts, train.labels), ("x", "zeppelin", "contradiction"), strict=True
    ):
        column.extend([value] * 40)
    train.ids.extend(f"x{n}" for n in range(40))
    item = Statements(["q"], ["1000"], ["zeppelin"], ["contradiction"])
    assert hypothesis_only.wrong_votes(train, item) == [1]


def test_a_majority_of_the_scorers_decides():
    assert hypothesis_only.chosen("hypothesis_hard", [0, 2, 3, 5]) == [False, False, True, True]


def test_it_says_when_nothing_is_left_or_learnt():
    with pytest.raises(UserError, match="hypothesis_hard: none of 2 items is left"):
        hypothesis_only.chosen("hypothesis_hard", [0, 1])
    with pytest.raises(UserError, match="3 training pairs on 1 images are too few for 5 hypothesis-only scorers"):
        hypothesis_only.wrong_votes(statements(1, 0), statements(2, 1000))
    with pytest.raises(UserError, match=r"60 images \(0 among them\) are in the scorers' training pairs too"):
        hypothesis_only.wrong_votes(statements(60, 0), statements(60, 0))
