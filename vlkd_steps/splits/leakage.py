"""What a split shares with the other roles: images, texts, and texts that are nearly the same.

A report, not a judgement: questions such as "What color is the cat?" are asked about many images, and
VQA-CP shares images by design. Who reads a table can look up what stood in its split's manifest.
"""

import re
from collections.abc import Iterable

import polars as pl

LONG = 9
"""Words from which on a text with one word replaced is nearly the same (word-set Jaccard >= 0.8)."""

_WORD = re.compile(r"[a-z0-9]+(?:'[a-z]+)?")
_ARTICLES = {"a", "an", "the"}

Leaks = dict[str, dict[str, int]]


def normalised(text: str) -> str:
    """Lower case, words only, single spaces: texts that differ in punctuation or case are the same text."""
    return " ".join(_WORD.findall(text.lower()))


class NearTexts:
    """Finds texts whose set of words (articles aside) is that of a given text, or nearly.

    Nearly: one word more or less, or, among at least nine words, one word replaced. Every text is filed
    under its word set and under the set without each of its words, so a look-up costs a few hashes.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        self.whole: set[str] = set()
        self.shortened: set[str] = set()
        self.shortened_long: set[str] = set()
        for text in texts:
            whole, shorter = _keys(text)
            self.whole.add(whole)
            self.shortened.update(shorter)
            if len(shorter) >= LONG:
                self.shortened_long.update(shorter)

    def __contains__(self, text: str) -> bool:
        whole, shorter = _keys(text)
        if whole in self.whole or whole in self.shortened or not self.whole.isdisjoint(shorter):
            return True
        return len(shorter) >= LONG and not self.shortened_long.isdisjoint(shorter)


def _keys(text: str) -> tuple[str, list[str]]:
    words = sorted(set(text.split()) - _ARTICLES)
    shorter = [" ".join(words[:n] + words[n + 1 :]) for n in range(len(words))] if len(words) > 1 else [""] * len(words)
    return " ".join(words), [key for key in shorter if key]


class Role:
    """The images and texts of one role, filed once for any number of splits."""

    def __init__(self, rows: pl.DataFrame) -> None:
        self.images = set(rows["image_id"])
        self.texts = {normalised(text) for text in rows["text"].unique().to_list()}
        self.near = NearTexts(self.texts)


def report(rows: pl.DataFrame, others: dict[str, Role]) -> Leaks:
    """Per other role: how many images, and how many instances of `rows` by their text, it shares.

    Args:
        rows: columns ``image_id, text`` of the split.
        others: the other roles by name.

    Returns:
        ``shared_images`` (images), ``shared_texts`` (instances whose normalised text stands in the role) and
        ``near_duplicate_texts`` (further instances whose text nearly does), each {role: count}.
    """
    images = set(rows["image_id"])
    counted = rows["text"].value_counts(name="count")
    times: dict[str, int] = {}
    for text, count in counted.iter_rows():
        key = normalised(text)
        times[key] = times.get(key, 0) + count
    leaks: Leaks = {"shared_images": {}, "shared_texts": {}, "near_duplicate_texts": {}}
    for name in sorted(others):
        other = others[name]
        leaks["shared_images"][name] = len(images & other.images)
        leaks["shared_texts"][name] = sum(count for text, count in times.items() if text in other.texts)
        leaks["near_duplicate_texts"][name] = sum(
            count for text, count in times.items() if text not in other.texts and text in other.near
        )
    return leaks
