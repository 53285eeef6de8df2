import doctest

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

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
        (
            "\u0130 \u0130: red on",
            [(0, 1), (2, 3), (3, 4), (5, 8), (9, 11)],
            0,
            [[0], [1], [3], [4]],
        ),  # lower: longer
    ],
)
def test_token_words(text: str, spans: list[tuple[int, int]], skip: int, expected: list[list[int]]) -> None:
    assert words.token_words(text, spans, skip) == expected


TEXT = st.text(alphabet="aB'9 ,é\u0130\n", max_size=12)


@given(st.lists(st.tuples(TEXT, st.lists(st.integers(0, 3), max_size=8)), max_size=5))
def test_words_of_many_texts_tokens_are_those_of_each(cut: list[tuple[str, list[int]]]) -> None:
    texts, spans = [text for text, _ in cut], []
    for text, sizes in cut:
        ends = [min(end, len(text)) for end in np.cumsum(sizes).tolist()]
        spans.append(list(zip([0, *ends], ends, strict=False)))
    flat = np.array([span for of_text in spans for span in of_text], np.int64).reshape(-1, 2)
    found, numbers = words.words_of_each_token(texts, flat, np.array([len(each) for each in spans], np.int64))
    expected = []
    for text, of_text in zip(texts, spans, strict=True):
        tokens: list[list[int]] = [[] for _ in of_text]
        for word, positions in enumerate(words.token_words(text, of_text)):
            for position in positions:
                tokens[position].append(word)
        expected += tokens
    assert [[word for word in row if word >= 0] for row in found.tolist()] == expected
    assert found.shape[1] == max([1, *map(len, expected)])
    assert numbers.tolist() == [len(words.split_words(text)) for text in texts]
