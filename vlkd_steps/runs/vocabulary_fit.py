"""Whether a student's tokenizer knows the words that it is to be trained on: a tiny one knows its benchmark's alone."""

import re
import string
from collections import Counter
from collections.abc import Sequence
from random import Random
from typing import Any, NamedTuple

from vlkd_steps.core import distributed
from vlkd_steps.core.step import log
from vlkd_steps.data.words import content_words

SHORT = 2  # letters; such words are a piece each, known or not
MOST = 0.5  # of the words may be unknown
MOST_TEXTS = 20_000  # of VCR's two million
EXAMPLES = 5
_LATIN = re.compile(r"[a-z]")
_IDEOGRAPHS = re.compile("[\u3040-\u30ff\u3400-\u9fff]")
"""Chinese and Japanese, of which tokenizers that know them have a piece for each."""
_warned: set[str] = set()


class Fit(NamedTuple):
    """The share of the texts' content words that a tokenizer does not know, and the commonest of them."""

    unknown: float
    examples: list[str]


def fit(tokenizer: Any, texts: Sequence[str]) -> Fit:
    """A word is unknown if it has as many pieces as letters, or an unknown one among them.

    Words of other alphabets, which no text is cut into (`data.words`), are what is between spaces. Of more than
    MOST_TEXTS texts a sample is read.
    """
    read = texts if len(texts) <= MOST_TEXTS else Random(0).sample(texts, MOST_TEXTS)
    counted = Counter(word for text in read for word in _words(text) if len(word) > SHORT)
    if not counted:
        return Fit(0.0, [])
    words = sorted(counted)
    pieces = tokenizer([f" {word}" for word in words], add_special_tokens=False)["input_ids"]
    unknown = {
        word: counted[word]
        for word, ids in zip(words, pieces, strict=True)
        if len(ids) >= len(word) + bool(_IDEOGRAPHS.search(word)) or tokenizer.unk_token_id in ids
    }
    commonest = sorted(unknown, key=lambda word: (-unknown[word], word))
    return Fit(sum(unknown.values()) / counted.total(), commonest[:EXAMPLES])


def _words(text: str) -> list[str]:
    """The content words of letters alone, and the words that have no letter a to z."""
    known = [word for word in content_words(text) if word.isalpha()]
    others = (word.strip(string.punctuation) for word in text.lower().split() if not _LATIN.search(word))
    return known + [word for word in others if any(map(str.isalpha, word))]


def warn(tokenizer: Any, texts: Sequence[str], student: str, label: str) -> None:
    """Log a warning where most words are unknown, once for all seeds of a job.

    Args:
        label: of the run, with its seed as the last word.
    """
    job = label.rpartition(" ")[0]
    if job in _warned:
        return
    found = fit(tokenizer, texts)
    if found.unknown > MOST and distributed.is_main():
        _warned.add(job)
        log.warning(
            f"[{label}] warning: {100 * found.unknown:.0f} % of the content words in its training texts are not in the "
            f"tokenizer of student {student} ({', '.join(found.examples)}, ...), which spells them letter by letter "
            "or, of another alphabet, takes them all for one unknown word; name a student that knows them, or give "
            "this one a `vocabulary` (docs/own_data.md, Which student and teacher)"
        )
