import doctest

import pytest

from vlkd_steps.data import words


def test_docstring_examples() -> None:
    assert doctest.testmod(words).failed == 0


def test_content_words_drop_function_words_and_keep_positions() -> None:
    assert words.content_words("What is the small red star above the cover?") == [
        "small",
        "red",
        "star",
        "above",
        "cover",
    ]


@pytest.mark.parametrize(
    ("text", "spans", "skip", "expected"),
    [
        ("a red star", [(0, 0), (0, 1), (2, 5), (6, 10), (0, 0)], 0, [[1], [2], [3]]),
        ("a red star", [(0, 1), (2, 5), (6, 10)], 1, [[1], [2]]),  # the template's word is left out
        ("don't", [(0, 0), (0, 3), (3, 5), (0, 0)], 0, [[1, 2]]),  # two pieces of one word
        ("red, star", [(0, 3), (3, 4)], 0, [[0], []]),  # the comma is no word; the last word was cut away
    ],
)
def test_token_words(text: str, spans: list[tuple[int, int]], skip: int, expected: list[list[int]]) -> None:
    assert words.token_words(text, spans, skip) == expected
