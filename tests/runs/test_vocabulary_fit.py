"""Texts whose words a student's tokenizer does not know are told of."""

import logging

import pytest

from vlkd_steps.benchmarks.scenes import vocabulary
from vlkd_steps.data.tokenizer import word_tokenizer
from vlkd_steps.runs import vocabulary_fit


def test_words_count_as_often_as_they_occur_and_short_ones_do_not() -> None:
    tokenizer = word_tokenizer(["red", "circle"])
    found = vocabulary_fit.fit(tokenizer, ["a red circle", "the zebra is a zebra", "red"])
    assert found == (0.4, ["zebra"])  # of red, circle, zebra, zebra, red


def test_only_data_that_do_not_match_are_warned_of(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vocabulary_fit, "_warned", set())
    tokenizer = word_tokenizer(vocabulary.words())
    logger = logging.getLogger("vlkd_steps")
    logger.addHandler(caplog.handler)
    try:
        vocabulary_fit.warn(tokenizer, ["what color is the circle?"], "vilt_scenes", "a s0")
        assert not caplog.messages
        for seed in (1, 2):  # once
            vocabulary_fit.warn(
                tokenizer, ["Which breed might the sleepy puppy belong to?"], "vilt_scenes", f"a s{seed}"
            )
    finally:
        logger.removeHandler(caplog.handler)
    (message,) = caplog.messages
    assert (
        "% of the content words in its training texts are not in the tokenizer of student vilt_scenes (belong"
        in message
    )
