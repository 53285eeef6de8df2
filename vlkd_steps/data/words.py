"""How a text is cut into words: the same for token selection, the feature store and the students."""

import re
from collections.abc import Sequence

import numpy as np

_WORD = re.compile(r"[a-z0-9']+")

_FUNCTION = """
a about after again all am an and any are aren't as at be because been before being both but by can can't cannot could
couldn't did didn't do does doesn't doing don't down during each few for from further had hadn't has hasn't have
haven't having he her here hers herself him himself his how i if in into is isn't it it's its itself let's me more
most my myself no nor not of off on once only or other our ours ourselves out own same she should shouldn't so some
such than that that's the their theirs them themselves then there there's these they they're this those through to too
until up very was wasn't we were weren't what what's when where which while who who's whom whose why will with won't
would wouldn't you your yours yourself yourselves
"""
STOP_WORDS = frozenset(_FUNCTION.split())
"""What is no content word: English function words, but not prepositions of place such as *above*.

Token selection's fixed list (choice; docs/papers.md, "Token selection").
"""


def split_words(text: str) -> list[str]:
    """Lower-cased words in order: runs of letters, digits and apostrophes.

    >>> split_words("What's left of the 2 red-ish cubes?")
    ["what's", 'left', 'of', 'the', '2', 'red', 'ish', 'cubes']
    """
    return _WORD.findall(text.lower())


def content_words(text: str) -> list[str]:
    """The words of `text` that are not in STOP_WORDS, in order, with repetitions."""
    return [word for word in split_words(text) if word not in STOP_WORDS]


def token_words(text: str, spans: Sequence[tuple[int, int]], skip: int = 0) -> list[list[int]]:
    """Which tokens make up each word of `text`.

    Args:
        text: the text as the tokenizer saw it.
        spans: for each token the characters [start, stop) of `text` it covers, in order; (0, 0) for special tokens.
        skip: leave out this many words at the start (those of a template in front of the text).

    Returns:
        One list of token positions per word; empty where truncation cut the word away.
    """
    found, first = [], 0
    for begin, end in _spans(text)[skip:]:
        while first < len(spans) and spans[first][1] <= begin:
            first += 1
        positions, last = [], first
        while last < len(spans) and spans[last][0] < end:
            if spans[last][0] < spans[last][1] and spans[last][1] > begin:
                positions.append(last)
            last += 1
        found.append(positions)
    return found


def words_of_each_token(texts: Sequence[str], spans: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """As `token_words`, the other way round and for many texts at once.

    Args:
        spans: as there, int [T, 2], those of one text after those of another.
        counts: the number of tokens of each text, int [S].

    Returns:
        The words in its text that each token is part of or covers, int64 [T, K], padded with -1, of which K > 1 only
        where a token covers several, and the number of words of each text, [S].
    """
    words = np.array(_spans("\n".join(texts)), np.int64).reshape(-1, 2)
    starts = np.cumsum([0, *(len(text) + 1 for text in texts)])
    first = np.searchsorted(words[:, 0], starts)  # the number of the first word of each text
    text = np.arange(len(texts)).repeat(counts)
    begin, end = (spans + starts[text, None]).T
    covered = np.searchsorted(words[:, 1], begin, side="right")  # the first word that ends after the token begins
    number = np.where(begin < end, np.searchsorted(words[:, 0], end) - covered, 0)
    place = np.arange(max(1, number.max(initial=1)))
    found = (covered - first[text])[:, None] + place
    return np.where(place < number[:, None], found, -1), np.diff(first)


def _spans(text: str) -> list[tuple[int, int]]:
    """For each word of `split_words` the characters [start, stop) of `text`, which may be longer in lower case.

    >>> _spans("\u0130 red")
    [(0, 1), (2, 5)]
    """
    lower = text.lower()
    spans = [match.span() for match in _WORD.finditer(lower)]
    if len(lower) == len(text):
        return spans
    origin = [place for place, letter in enumerate(text) for _ in letter.lower()]  # of each character of `lower`
    return [(origin[start], origin[stop - 1] + 1) for start, stop in spans]
