"""Token selection: the few words of a text that are visible in its image and important in the text.

That tokens are selected per instance is stated by the paper; how visual relevance and keyness are combined is our
choice (docs/papers.md, "Token selection"). Nothing here needs torch.
"""

import contextlib
import io
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from typing import Protocol

import numpy as np

from vlkd_steps.core.did_you_mean import one_of
from vlkd_steps.data.words import content_words
from vlkd_steps.teachers.targets import confidence

SELECTIONS = ("both", "relevance", "keyness", "random", "all", "none")
KEYNESS = ("yake", "idf")
RELEVANCE = ("plain", "centred", "regression")

RIDGE = 3.0
"""The ridge penalty as a share of the features' mean variance (choice)."""

Relevance = Callable[[int, Sequence[str]], np.ndarray]
"""Instance number and words of its text -> the visual relevance of each word, float [words]."""


class WordVectors(Protocol):
    """The part of a feature store that selection reads."""

    def words(self, words: Sequence[str]) -> np.ndarray:
        """One row per word, float32 [N, D]."""


def unseen(item: int, words: Sequence[str]) -> np.ndarray:
    """The relevance without an image: 0 for every word."""
    return np.zeros(len(words))


def cosines(texts: Sequence[str], v: np.ndarray, store: WordVectors) -> Relevance:
    """r_i = cos(text(word_i), v), for a teacher with a joint space of images and words.

    Args:
        texts: N texts, whose content words are looked up once.
        v: its image embeddings, [N, D].
        store: the teacher's word vectors.
    """
    return _cosines(texts, _unit(np.asarray(v, np.float32)), store)


def centred_cosines(texts: Sequence[str], v: np.ndarray, store: WordVectors) -> Relevance:
    """As `cosines`, from the mean of the normalised `v` (choice).

    Images and texts are in different regions of CLIP's space, so an uninformative word is close to every image;
    a word's cosine is informative only relative to its average. (Two words of each scenes question: 15 % of those
    chosen by the plain cosine name something visible, 50 % by the centred one, 22 % by chance.)
    """
    images = _unit(np.asarray(v, np.float32))
    return _cosines(texts, _unit(images - images.mean(0)) if len(images) else images, store)


def _cosines(texts: Sequence[str], images: np.ndarray, store: WordVectors) -> Relevance:
    row = _vocabulary(texts)
    vectors = _unit(store.words(list(row))) if row else np.zeros((0, 1), np.float32)
    return lambda item, words: vectors[[row[word] for word in words]] @ images[item]


def regression(texts: Sequence[str], v: np.ndarray, image_ids: Sequence[str], seed: int = 0) -> Relevance:
    """What a linear map from images to words expects: relevance without a joint space (choice).

    A 5-fold cross-fitted ridge regression from centred image features to centred word-occurrence indicators of the
    split's texts; r_i is the prediction for word i by the model that was fitted without the instance's image.

    Args:
        texts: N texts, all of the split.
        v: image features of any vision teacher, [N, D].
        image_ids: N image names; items of one image share a fold.
        seed: of the folds.
    """
    from scipy import sparse

    row = _vocabulary(texts)
    pairs = [(item, row[word]) for item, text in enumerate(texts) for word in set(content_words(text))]
    items, columns = np.array(pairs, np.int64).reshape(-1, 2).T
    occurs = sparse.csr_matrix((np.ones(len(pairs)), (items, columns)), shape=(len(texts), len(row)))
    features = np.asarray(v, np.float64)
    fold = confidence.folds(image_ids, seed)
    maps = []
    for k in range(confidence.FOLDS):
        train = np.flatnonzero(fold != k)
        mean = features[train].mean(0) if len(train) else np.zeros(features.shape[1])
        centred = features[train] - mean
        # Centred features need no centred indicators: a constant has no covariance with them.
        covariance = centred.T @ centred
        penalty = RIDGE * covariance.trace() / len(covariance) + 1e-12
        solved = np.linalg.solve(covariance + penalty * np.eye(len(covariance)), (occurs[train].T @ centred).T)
        maps.append((mean, solved))

    def expected(item: int, words: Sequence[str]) -> np.ndarray:
        mean, solved = maps[fold[item]]
        found: np.ndarray = (features[item] - mean) @ solved[:, [row[word] for word in words]]
        return found

    return expected


def _vocabulary(texts: Sequence[str]) -> dict[str, int]:
    """Every content word of `texts` with its index in the sorted list."""
    distinct = sorted({word for text in dict.fromkeys(texts) for word in content_words(text)})
    return {word: number for number, word in enumerate(distinct)}


def select(
    texts: Sequence[str],
    visual: Relevance,
    selection: str = "both",
    m: int = 2,
    keyness: str = "yake",
    generator_seed: int = 0,
) -> list[list[str]]:
    """Choose the words of each instance whose token features are distilled.

    With visual relevance r_i and keyness k_i, both z-normalised over the instance's distinct content words, the score
    is z(r_i) + z(k_i); the `m` best are taken, the earlier word first where scores are equal.

    Args:
        texts: N texts; for `idf` they are the whole training text.
        visual: r of an instance's words: `cosines`, `centred_cosines` or `regression` of these texts.
        selection: ``both``; one of the two alone (``relevance``, ``keyness``); ``random`` content words; ``all`` of
            them; ``none``.
        m: the number of words selected per instance.
        keyness: ``yake`` (its score for single words, sign inverted) or ``idf``.
        generator_seed: for ``random`` only.

    Returns:
        N lists of lower-cased words in the order of the text; empty if a text has no content word.

    Raises:
        UserError: an unknown `selection` or `keyness`.
    """
    one_of(selection, SELECTIONS, "selection")
    one_of(keyness, KEYNESS, "keyness")
    if selection == "none":
        return [[] for _ in texts]
    words_of = {text: list(dict.fromkeys(content_words(text))) for text in dict.fromkeys(texts)}
    if selection == "all":
        return [list(words_of[text]) for text in texts]
    generator = np.random.default_rng(generator_seed)
    if selection == "random":
        return [_top(words_of[text], generator.random(len(words_of[text])), m) for text in texts]
    keys = _keyness(words_of, texts, keyness) if selection != "relevance" else {}
    chosen = []
    for item, text in enumerate(texts):
        words = words_of[text]
        score = np.zeros(len(words))
        if words and selection != "keyness":
            score += z_normalised(visual(item, words))
        if words and selection != "relevance":
            score += z_normalised(keys[text])
        chosen.append(_top(words, score, m))
    return chosen


def z_normalised(values: np.ndarray) -> np.ndarray:
    """(x - mean) / standard deviation; zeros if all values are equal (up to rounding)."""
    values = np.asarray(values, np.float64)
    centred = values - values.mean()
    deviation = centred.std()
    return centred / deviation if deviation > 1e-6 * max(1.0, float(np.abs(values).max())) else np.zeros_like(centred)


@cache
def yake_scores(text: str) -> dict[str, float]:
    """YAKE's score of every single word it finds in `text` (Campos et al. 2020); lower means more of a keyword."""
    with contextlib.redirect_stderr(io.StringIO()):  # it prints texts that it cannot score, such as empty ones
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
    }  # words that YAKE skips (one or two letters) count as the least of the text's keywords


def _top(words: list[str], score: np.ndarray, m: int) -> list[str]:
    best = np.argsort(-score, kind="stable")[:m]
    return [words[index] for index in sorted(best.tolist())]


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
