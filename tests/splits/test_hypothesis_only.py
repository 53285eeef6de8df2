from pathlib import Path

import pytest

from vlkd_steps.core.errors import UserError
from vlkd_steps.core.seeds import derive
from vlkd_steps.splits import hypothesis_only
from vlkd_steps.splits.statements import Statements

FILE = Path("train.jsonl")
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
    wrong = hypothesis_only.wrong_votes(statements(60, 0), items, FILE)
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
    assert hypothesis_only.wrong_votes(train, item, FILE) == [1]


def test_a_majority_of_the_scorers_decides():
    assert hypothesis_only.chosen("hypothesis_hard", [0, 2, 3, 5]) == [False, False, True, True]


def drawn(name, number):
    """Statements of four words, each on its own image, whose label follows partly from "not runs", partly from none."""
    words = ["man", "dog", "red", "not", "runs", "sits"]
    labels = ["contradiction", "entailment", "neutral"]
    ids = [f"{name}{n}" for n in range(number)]
    texts = [" ".join(words[derive(n, name, place) % 6] for place in range(4)) for n in range(number)]
    said = [labels[("not runs" in text) + derive(n, name, "label") % 2] for n, text in enumerate(texts)]
    return Statements(ids, ids, texts, said)


def test_the_votes_and_the_hard_items_never_change():
    """Computed once. A change of them changes the published sets: raise VERSION with it."""
    items = drawn("test", 24)
    wrong = hypothesis_only.wrong_votes(drawn("train", 120), items, FILE)
    assert hypothesis_only.VERSION == 1
    assert wrong == [0, 4, 3, 4, 2, 5, 1, 3, 4, 0, 5, 0, 5, 1, 5, 0, 4, 5, 5, 0, 5, 5, 5, 1]
    hard = zip(items.ids, hypothesis_only.chosen("hypothesis_hard", wrong), strict=True)
    assert [name for name, kept in hard if kept] == [
        f"test{n}" for n in (1, 2, 3, 5, 7, 8, 10, 12, 14, 16, 17, 18, 20, 21, 22)
    ]


def test_it_says_when_nothing_is_left_or_learnt():
    with pytest.raises(UserError, match="hypothesis_hard: none of 2 items is left"):
        hypothesis_only.chosen("hypothesis_hard", [0, 1])
    with pytest.raises(UserError, match="3 training pairs on 1 images are too few for 5 hypothesis-only scorers"):
        hypothesis_only.wrong_votes(statements(1, 0), statements(2, 1000), FILE)
    with pytest.raises(UserError, match=r"60 images \(0 among them\) are in the scorers' training pairs too"):
        hypothesis_only.wrong_votes(statements(60, 0), statements(60, 0), FILE)


@pytest.mark.parametrize(("number", "text"), [(60, "7 ?"), (600, "一只狗在第{n}张照片里")])
def test_hypotheses_without_words_in_common_are_refused_and_their_file_named(number, text):
    """None has two letters together; or each is one word, and among many items a word must occur twice."""
    train, items = statements(number, 0), statements(2, 1000)
    train.texts[:] = [text.format(n=n) for n in range(len(train))]
    with pytest.raises(UserError, match=r"^train.jsonl: .* no words in its"):
        hypothesis_only.wrong_votes(train, items, FILE)
