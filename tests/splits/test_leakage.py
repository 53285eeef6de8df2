import re

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlkd_steps.splits import leakage

words = st.lists(st.sampled_from([f"w{n}" for n in range(14)]), min_size=1, max_size=12)


def rows(*items):
    return pl.DataFrame({"image_id": [image for image, _ in items], "text": [text for _, text in items]})


def near_each_other(one, other):
    return bool(leakage.Texts([one]).near(leakage.Texts([other]))[0])


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
    assert near_each_other(one, other) is near
    assert near_each_other(other, one) is near


@given(words, words)
def test_look_up_agrees_with_the_definition(one, other):
    a, b = set(one), set(other)
    more = len(a - b) + len(b - a)
    expected = more <= 1 or (len(a) == len(b) >= leakage.LONG and more == 2)
    assert near_each_other(" ".join(one), " ".join(other)) is expected


@given(words, words)
def test_near_texts_overlap_by_four_fifths_from_four_words_on(one, other):
    a, b = set(one), set(other)
    if near_each_other(" ".join(one), " ".join(other)) and min(len(a), len(b)) >= 4:
        assert len(a & b) / len(a | b) >= 0.8


def test_normalised_texts():
    assert leakage.normalised("  What's THE  score -- 3:1?") == "what's the score 3 1"


def test_texts_without_words_and_equal_texts_are_counted_once():
    texts = leakage.Texts(["What's THE  score?", "what's the score", "...", "?!", "the"])
    of_text = dict(zip(texts.texts, texts.times.tolist(), strict=True))
    assert of_text == {"...": 1, "?!": 1, "the": 1, "what's the score": 2}
    near = texts.near(leakage.Texts(["score what's", "-", "?!", "a"]))
    assert {text for text, alike in zip(texts.texts, near, strict=True) if alike} == {"?!", "the", "what's the score"}
    assert not leakage.Texts(["yes"]).near(leakage.Texts(["-", "no"])).any()


@settings(max_examples=25)
@given(st.lists(words, max_size=12), st.lists(words, max_size=12))
def test_many_texts_at_once_agree_with_one_by_one(some, others):
    texts, filed = leakage.Texts([" ".join(one) for one in some]), leakage.Texts([" ".join(one) for one in others])
    assert texts.near(filed).tolist() == [any(near_each_other(a, b) for b in filed.texts) for a in texts.texts]


def test_texts_of_any_script_are_told_apart():
    """None of them has a Latin letter without an accent: as if empty, all would be the same text."""
    test = leakage.Role(rows(("1", "猫は何色ですか"), ("1", "Какого цвета кот?"), ("1", "🐱")))
    train = rows(("2", "犬は何色ですか"), ("2", "какого цвета КОТ"), ("2", "Сколько кошек?"), ("2", "🐶"))
    assert leakage.report(train, {"test": test})["shared_texts"] == {"test": 1}
    assert leakage.report(train, {"test": test})["near_duplicate_texts"] == {"test": 0}


@given(st.text(st.characters(max_codepoint=127)))
def test_words_of_ascii_texts(text):
    """Files of shifted splits are made of them."""
    assert leakage.normalised(text) == " ".join(re.findall("[a-z0-9]+(?:'[a-z]+)?", text.lower()))
    assert leakage.Texts([text]).texts[0] == (leakage.normalised(text) or text)
