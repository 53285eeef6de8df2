"""How much a word matters to its text: by YAKE, once per distinct text over all cores, or by rarity."""

import contextlib
import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cache

import numpy as np

KINDS = ("yake", "idf")
PIECE = 256
"""Texts that a process scores at a time."""
FEW = 1024
"""So many texts are scored faster than processes for them are started."""


def of(words_of: Mapping[str, Sequence[str]], texts: Sequence[str], kind: str) -> dict[str, np.ndarray]:
    """The keyness of every word of each distinct text, more for one that matters more.

    Args:
        words_of: the distinct content words of each distinct text.
        texts: N texts; for `idf` they are taken as the whole training text.
        kind: ``yake`` or ``idf``.
    """
    if kind == "idf":
        documents = Counter(word for text in texts for word in words_of[text])
        return {t: np.array([np.log(len(texts) / documents[word]) for word in ws]) for t, ws in words_of.items()}
    return {
        text: np.array([-found.get(word, max(found.values(), default=0.0)) for word in words_of[text]])
        for text, found in zip(words_of, _scored(list(words_of)), strict=True)
    }  # what YAKE skips (words of one or two letters) counts as the least of the text's keywords


def _scored(texts: Sequence[str]) -> Iterator[dict[str, float]]:
    """`yake_scores` of each text; by `loader`'s processes where there are many."""
    if len(texts) <= FEW:
        yield from map(yake_scores, texts)
        return
    from vlkd_steps.data import loader  # torch

    pieces = [texts[start : start + PIECE] for start in range(0, len(texts), PIECE)]
    _extractor()  # imported once, before the processes are forked
    for scores in loader.ahead(lambda number: [yake_scores(t) for t in pieces[number]], range(len(pieces)), waits=True):
        yield from scores


def yake_scores(text: str) -> dict[str, float]:
    """YAKE's score of every single word it finds in `text` (Campos et al. 2020); lower means more of a keyword.

    Words are in lower case, as content words are. YAKE keeps their capitals, and may score a word that is written in
    two ways twice: the lower score counts.
    """
    found: dict[str, float] = {}
    with contextlib.redirect_stderr(io.StringIO()):  # it reports on stderr what it cannot score, such as empty texts
        for word, score in _extractor().extract_keywords(text):
            found[word.lower()] = min(float(score), found.get(word.lower(), float("inf")))
    return found


@cache
def _extractor():  # type: ignore[no-untyped-def]  # yake has no types; imported late, it costs half a second
    import yake

    return yake.KeywordExtractor(lan="en", n=1, top=1000, dedupLim=1.0)
