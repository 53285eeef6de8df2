import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlkd_steps.splits import leakage

words = st.lists(st.sampled_from([f"w{n}" for n in range(14)]), min_size=1, max_size=12)


def rows(*items):
    return pl.DataFrame({"image_id": [image for image, _ in items], "text": [text for _, text in items]})


def test_images_texts_and_near_duplicates_are_counted():
    test = leakage.Role(rows(("1", "What color is the cat?"), ("2", "Is there a dog in the park?")))
    train = rows(
        ("1", "what colour is it"),
        ("3", "what color is the cat"),  # the same but for case and the mark
        ("3", "What color is the cat?"),
        ("4", "Is there any dog in a park?"),  # one word more, articles aside
        ("4", "Is there no cat?"),
    )
    assert leakage.report(train, {"test": test}) == {
        "shared_images": {"test": 1},
        "near_duplicate_images": {"test": 0},
        "shared_texts": {"test": 2},
        "near_duplicate_texts": {"test": 1},
    }


@pytest.mark.parametrize(
    ("one", "other", "near"),
    [
        ("a man is outside", "the man is outside", True),
        ("a man is outside", "is a man outside", True),
        ("a man is outside today", "a man is outside", True),
        ("a man is outside", "a man is inside", False),  # a short text with another word says something else
        ("one two three four five six seven eight nine", "one two three four five six seven eight ten", True),
        ("one two three four five six seven eight", "one two three four five six seven ten", False),
        ("yes", "no", False),
    ],
)
def test_what_is_nearly_the_same(one, other, near):
    assert (one in leakage.NearTexts([other])) is near
    assert (other in leakage.NearTexts([one])) is near


@given(words, words)
def test_look_up_agrees_with_the_definition(one, other):
    a, b = set(one), set(other)
    more = len(a - b) + len(b - a)
    expected = more <= 1 or (len(a) == len(b) >= leakage.LONG and more == 2)
    assert (" ".join(one) in leakage.NearTexts([" ".join(other)])) is expected


@given(words, words)
def test_near_texts_overlap_by_four_fifths_from_four_words_on(one, other):
    a, b = set(one), set(other)
    if " ".join(one) in leakage.NearTexts([" ".join(other)]) and min(len(a), len(b)) >= 4:
        assert len(a & b) / len(a | b) >= 0.8


def test_normalised_texts():
    assert leakage.normalised("  What's THE  score -- 3:1?") == "what's the score 3 1"
