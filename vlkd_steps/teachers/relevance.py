"""Token selection: the few words of a text that are seen in its picture and that matter to the text (PAPERS 1.2).

That tokens are selected per instance is stated by the paper; visual relevance and keyness are recalled; how the two are
combined is our choice. Nothing here is trained and nothing needs torch.
"""

import contextlib
import io
from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import Protocol

import numpy as np

from vlkd_steps.errors import UserError
from vlkd_steps.teachers.words import content_words

SELECTIONS = ("both", "relevance", "keyness", "random", "all", "none")
KEYNESS = ("yake", "idf")


class WordVectors(Protocol):
    """What selection reads of a feature store."""

    def words(self, words: Sequence[str]) -> np.ndarray:
        """One row per word, float32 [N, D]."""


def select(
    texts: Sequence[str],
    v: np.ndarray,
    store: WordVectors,
    selection: str = "both",
    m: int = 2,
    keyness: str = "yake",
    generator_seed: int = 0,
    centred: bool = False,
) -> list[list[str]]:
    """Choose the words of each instance whose token features are distilled.

    With r_i = cos(text(word_i), v) and keyness k_i, both z-normalised over the instance's distinct content words, the
    score is z(r_i) + z(k_i); the `m` best are taken, the earlier word first where scores are equal.

    Args:
        texts: N texts; for `idf` they are taken as the whole training text.
        v: the teacher's image embeddings, [N, D].
        store: the teacher's word vectors.
        selection: ``both``; one of the two alone (``relevance``, ``keyness``); ``random`` content words; ``all`` of
            them; ``none``.
        m: how many words an instance keeps.
        keyness: ``yake`` (its score for single words, sign inverted) or ``idf``.
        generator_seed: for ``random`` only.
        centred: measure the cosine from the mean of the normalised `v` (choice). Pictures and texts lie in different
            parts of CLIP's space, so a word that means nothing lies close to every picture; a word's cosine says
            something only against its own average. (Two words of each scenes question: 15 % of those chosen by the
            plain cosine name something visible, 50 % by the centred one, 22 % by chance.)

    Returns:
        N lists of lower-cased words in the order of the text; empty where a text has no content word.

    Raises:
        UserError: an unknown `selection` or `keyness`.
    """
    _one_of("selection", selection, SELECTIONS)
    _one_of("keyness", keyness, KEYNESS)
    if selection == "none":
        return [[] for _ in texts]
    words_of = {text: list(dict.fromkeys(content_words(text))) for text in dict.fromkeys(texts)}
    if selection == "all":
        return [list(words_of[text]) for text in texts]
    generator = np.random.default_rng(generator_seed)
    if selection == "random":
        return [_top(words_of[text], generator.random(len(words_of[text])), m) for text in texts]
    keys = _keyness(words_of, texts, keyness) if selection != "relevance" else {}
    distinct = sorted({word for words in words_of.values() for word in words})
    row = {word: number for number, word in enumerate(distinct)}
    vectors = _unit(store.words(distinct)) if selection != "keyness" and distinct else np.zeros((0, 1), np.float32)
    images = _unit(np.asarray(v, np.float32))
    if centred and len(images):
        images = _unit(images - images.mean(0))
    chosen = []
    for text, image in zip(texts, images, strict=True):
        words = words_of[text]
        score = np.zeros(len(words))
        if words and selection != "keyness":
            score += z_normalised(vectors[[row[word] for word in words]] @ image)
        if words and selection != "relevance":
            score += z_normalised(keys[text])
        chosen.append(_top(words, score, m))
    return chosen


def z_normalised(values: np.ndarray) -> np.ndarray:
    """(x - mean) / standard deviation; zeros where all values are equal (up to rounding)."""
    values = np.asarray(values, np.float64)
    centred = values - values.mean()
    deviation = centred.std()
    return centred / deviation if deviation > 1e-6 * max(1.0, float(np.abs(values).max())) else np.zeros_like(centred)


@cache
def yake_scores(text: str) -> dict[str, float]:
    """YAKE's score of every single word it finds in `text` (Campos et al. 2020); lower means more of a keyword."""
    with contextlib.redirect_stderr(io.StringIO()):  # it reports on stderr what it cannot score, such as empty texts
        return {word: float(score) for word, score in _extractor().extract_keywords(text)}


@cache
def _extractor():  # type: ignore[no-untyped-def]  # yake has no types; imported late, it costs half a second
    import yake

    return yake.KeywordExtractor(lan="en", n=1, top=1000, dedupLim=1.0)


def _keyness(words_of: dict[str, list[str]], texts: Sequence[str], kind: str) -> dict[str, np.ndarray]:
    if kind == "idf":
        documents = Counter(word for text in texts for word in words_of[text])
        return {t: np.array([np.log(len(texts) / documents[word]) for word in ws]) for t, ws in words_of.items()}
    found = {text: yake_scores(text) for text in words_of}
    return {
        text: np.array([-found[text].get(word, max(found[text].values(), default=0.0)) for word in words])
        for text, words in words_of.items()
    }  # what YAKE skips (words of one or two letters) counts as the least of the text's keywords


def _top(words: list[str], score: np.ndarray, m: int) -> list[str]:
    best = np.argsort(-score, kind="stable")[:m]
    return [words[place] for place in sorted(best.tolist())]


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def _one_of(name: str, value: str, valid: Sequence[str]) -> None:
    if value not in valid:
        raise UserError(f"{name} is {value!r}; write one of {', '.join(valid)}")
