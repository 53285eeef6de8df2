"""Token selection: the few words of a text that are visible in its image and important in the text.

That tokens are selected per instance is stated by the paper; how visual relevance and keyness are combined is our
choice (docs/papers.md, "Token selection"). Nothing here needs torch.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from vlkd_steps.core.arrays import unit
from vlkd_steps.core.did_you_mean import one_of
from vlkd_steps.data.words import content_words
from vlkd_steps.teachers.targets import cross_fit, keyness

SELECTIONS = ("both", "relevance", "keyness", "random", "all", "none")
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


def cosines(texts: Sequence[str], v: np.ndarray, rows: np.ndarray, store: WordVectors) -> Relevance:
    """r_i = cos(text(word_i), v), for a teacher with a joint space of images and words.

    Args:
        texts: N texts, whose content words are looked up once.
        v: its embeddings of the distinct images, [I, D]; item n shows image rows[n].
        store: the teacher's word vectors.
    """
    return _cosines(texts, unit(np.asarray(v, np.float32)), rows, store)


def centred_cosines(texts: Sequence[str], v: np.ndarray, rows: np.ndarray, store: WordVectors) -> Relevance:
    """As `cosines`, from the items' mean of the normalised `v` (choice).

    Images and texts are in different regions of CLIP's space, so an uninformative word is close to every image;
    a word's cosine is informative only relative to its average. (Two words of each scenes question: 15 % of those
    chosen by the plain cosine name something visible, 50 % by the centred one, 22 % by chance.)
    """
    images = unit(np.asarray(v, np.float32))
    if len(rows):
        images = unit(images - np.average(images, axis=0, weights=_shown(rows, len(v))).astype(np.float32))
    return _cosines(texts, images, rows, store)


def _cosines(texts: Sequence[str], images: np.ndarray, rows: np.ndarray, store: WordVectors) -> Relevance:
    row = _vocabulary(texts)
    vectors = unit(store.words(list(row))) if row else np.zeros((0, 1), np.float32)
    return lambda item, words: vectors[[row[word] for word in words]] @ images[rows[item]]


def _shown(rows: np.ndarray, images: int) -> np.ndarray:
    """How many items show each of the images."""
    return np.bincount(rows, minlength=images)


def regression(
    texts: Sequence[str], v: np.ndarray, rows: np.ndarray, image_ids: Sequence[str], seed: int = 0
) -> Relevance:
    """What a linear map from images to words expects: relevance without a joint space (choice).

    A 5-fold cross-fitted ridge regression from centred image features to centred word-occurrence indicators of the
    split's texts; r_i is the prediction for word i by the model that was fitted without the instance's image.

    Args:
        texts: N texts, all of the split.
        v: features of the distinct images by any vision teacher, [I, D]; item n shows image rows[n].
        image_ids: N image names; items of one image share a fold.
        seed: of the folds.
    """
    from scipy import sparse

    row = _vocabulary(texts)
    pairs = [(item, row[word]) for item, text in enumerate(texts) for word in set(content_words(text))]
    items, columns = np.array(pairs, np.int64).reshape(-1, 2).T
    fold = cross_fit.folds(image_ids, seed)
    middle = np.average(v, axis=0, weights=_shown(rows, len(v))) if len(rows) else np.zeros(v.shape[1])
    features = np.asarray(v, np.float64) - middle  # sums of squares lose digits far from 0
    # An item counts by its image alone, so each fold's sums are over images.
    counts = np.stack([_shown(rows[fold == k], len(v)) for k in range(cross_fit.FOLDS)])
    sums = counts @ features
    squares = np.stack([(features * each[:, None]).T @ features for each in counts])
    shape = (len(v), len(row))
    occurs = [sparse.csr_matrix((np.ones(here.sum()), (rows[items[here]], columns[here])), shape)
              for here in (fold[items] == k for k in range(cross_fit.FOLDS))]  # fmt: skip
    together = np.stack([each.T @ features for each in occurs])  # [folds, words, D]
    words = np.stack([each.sum(0).A1 for each in occurs])
    maps = []
    for k in range(cross_fit.FOLDS):
        others = np.arange(cross_fit.FOLDS) != k
        mean = sums[others].sum(0) / max(counts[others].sum(), 1)
        covariance = squares[others].sum(0) - counts[others].sum() * np.outer(mean, mean)
        penalty = RIDGE * covariance.trace() / len(covariance) + 1e-12
        # Centred features need no centred indicators: a constant has no covariance with them.
        centred = together[others].sum(0) - np.outer(words[others].sum(0), mean)
        solved = np.linalg.solve(covariance + penalty * np.eye(len(covariance)), centred.T)
        maps.append((mean, np.ascontiguousarray(solved.T)))

    def expected(item: int, words: Sequence[str]) -> np.ndarray:
        mean, solved = maps[fold[item]]
        found: np.ndarray = solved[[row[word] for word in words]] @ (features[rows[item]] - mean)
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
    keyness_by: str = "idf",
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
        keyness_by: ``idf``, or ``yake`` (its score for single words, sign inverted).
        generator_seed: for ``random`` only.

    Returns:
        N lists of lower-cased words in the order of the text; empty if a text has no content word.

    Raises:
        UserError: an unknown `selection` or `keyness_by`.
    """
    one_of(selection, SELECTIONS, "selection")
    one_of(keyness_by, keyness.KINDS, "keyness")
    if selection == "none":
        return [[] for _ in texts]
    words_of = {text: list(dict.fromkeys(content_words(text))) for text in dict.fromkeys(texts)}
    if selection == "all":
        return [list(words_of[text]) for text in texts]
    generator = np.random.default_rng(generator_seed)
    if selection == "random":
        return [_top(words_of[text], generator.random(len(words_of[text])), m) for text in texts]
    keys = keyness.of(words_of, texts, keyness_by) if selection != "relevance" else {}
    keys = {text: z_normalised(key) for text, key in keys.items() if len(key)}
    chosen = []
    for item, text in enumerate(texts):
        words = words_of[text]
        score = np.zeros(len(words))
        if words and selection != "keyness":
            score += z_normalised(visual(item, words))
        if words and selection != "relevance":
            score += keys[text]
        chosen.append(_top(words, score, m))
    return chosen


def z_normalised(values: np.ndarray) -> np.ndarray:
    """(x - mean) / standard deviation; zeros if all values are equal (up to rounding)."""
    values = np.asarray(values, np.float64)
    centred = values - values.mean()
    deviation = centred.std()
    return centred / deviation if deviation > 1e-6 * max(1.0, float(np.abs(values).max())) else np.zeros_like(centred)


def _top(words: list[str], score: np.ndarray, m: int) -> list[str]:
    best = np.argsort(-score, kind="stable")[:m]
    return [words[index] for index in sorted(best.tolist())]
