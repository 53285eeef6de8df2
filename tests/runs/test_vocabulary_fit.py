"""Texts whose words a student's tokenizer does not know are told of."""

import pytest

from vlkd_steps.benchmarks.scenes import vocabulary
from vlkd_steps.data.tokenizer import word_tokenizer
from vlkd_steps.runs import vocabulary_fit


def test_words_count_as_often_as_they_occur_and_short_ones_do_not() -> None:
    tokenizer = word_tokenizer(["red", "circle"])
    found = vocabulary_fit.fit(tokenizer, ["a red circle", "the zebra is a zebra", "red"])
    assert found == (0.4, ["zebra"])  # of red, circle, zebra, zebra, red


def test_words_of_another_alphabet_count_too() -> None:
    tokenizer = word_tokenizer(["red", "\u043a\u043e\u0448\u043a\u0430"])
    found = vocabulary_fit.fit(
        tokenizer, ["\u041a\u043e\u0448\u043a\u0430? \u043d\u043e\u043c\u0435\u0440?", "\u2014 (5) red"]
    )
    assert found == (pytest.approx(1 / 3), ["\u043d\u043e\u043c\u0435\u0440"])


def test_of_many_texts_a_sample_is_read_that_follows_no_period(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vocabulary_fit, "MOST_TEXTS", 100)
    tokenizer = word_tokenizer(["question", "answer"])
    texts = ["question", *["zyx"] * 4] * 120  # as a question and its four choices follow each other
    assert 0.65 < vocabulary_fit.fit(tokenizer, texts).unknown < 0.95


def test_only_data_that_do_not_match_are_warned_of(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vocabulary_fit, "_warned", set())
    tokenizer = word_tokenizer(vocabulary.words())
    vocabulary_fit.warn(tokenizer, ["what color is the circle?"], "vilt_scenes", "a s0")
    assert not caplog.messages
    for seed in (1, 2):  # once
        vocabulary_fit.warn(tokenizer, ["Which breed might the sleepy puppy belong to?"], "vilt_scenes", f"a s{seed}")
    (message,) = caplog.messages
    assert (
        "% of the content words in its training texts are not in the tokenizer of student vilt_scenes (belong"
        in message
    )
