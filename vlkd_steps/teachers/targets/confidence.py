"""Confidence weight: an instance's distillation loss is weighted by how well the teacher knows its answer.

See docs/papers.md, "Confidence weight"; the formula is our choice. The teacher does not answer questions, so its
knowledge is measured by a linear probe on its features; each instance is scored by a probe that was not fitted on its
image.
"""

import warnings
from collections.abc import Sequence

import numpy as np

FOLDS = 5
SHRINKAGE = 500
PROBE_ITEMS = 10_000
"""Items that a probe is fitted on at most, drawn at random from its folds (choice): more do not help."""
BLOCK = 8192
"""Items whose choices are processed together: all 1.7 million choices of VCR would be several copies of 3.5 GB."""


def weights(
    v: np.ndarray, u: np.ndarray, soft_labels: np.ndarray, image_ids: Sequence[str], seed: int = 0
) -> np.ndarray:
    """The weight of every instance's distillation term.

    ``c = sum_a s_a p_a / sum_a s_a`` with soft labels s and p from a cross-fitted probe;
    ``w = clip(c / mean(c), 0, 3)``; ``w <- rho w + 1 - rho`` with ``rho = n / (n + 500)``; then w is divided by its
    mean over the split. Answers that are not in all five training folds do not enter the sums; an instance without any
    remaining answer has w = 1 before the last step.

    Args:
        v, u: the teacher's image and text embeddings, [n, D] each.
        soft_labels: [n, C], zero or more; a row of zeros has no answer in the vocabulary.
        image_ids: n image names; items of one image share a fold.
        seed: of the folds.

    Returns:
        float32 [n] with mean 1.
    """
    return _weights(probe_features(v, u), soft_labels, image_ids, seed)


def unimodal_weights(
    features: np.ndarray, soft_labels: np.ndarray, image_ids: Sequence[str], seed: int = 0
) -> np.ndarray:
    """As `weights`, for a teacher of only images or only texts: a probe on LN(features), [n, D]."""
    return _weights(layer_norm(features), soft_labels, image_ids, seed)


def choice_weights(
    v: np.ndarray, texts: np.ndarray, choice_rows: np.ndarray, right: np.ndarray, temperature: float
) -> np.ndarray:
    """As `weights`, for items with choices (VCR): c is the softmax of cos(image, text) / tau at the right choice.

    Args:
        v: the teacher's image embeddings, [n, D].
        texts: its embeddings of the distinct texts of all choices, [t, D].
        choice_rows: which of them each choice of an item has, int [n, A].
        right: which choice is right, int [n].
        temperature: tau, the teacher's own.
    """
    found = np.zeros(len(v))
    for start in range(0, len(v), BLOCK):
        here = slice(start, start + BLOCK)
        scores = np.einsum("nd,nad->na", _unit(v[here]), _unit(texts[choice_rows[here]])).astype(np.float64)
        scores /= temperature
        likely = np.exp(scores - scores.max(axis=1, keepdims=True))
        found[here] = np.take_along_axis(likely, right[here, None], axis=1)[:, 0] / likely.sum(axis=1)
    return _rescaled(found)


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-12)


def _weights(features: np.ndarray, soft_labels: np.ndarray, image_ids: Sequence[str], seed: int) -> np.ndarray:
    return _rescaled(answer_confidence(features, np.asarray(soft_labels, np.float64), image_ids, seed))


def _rescaled(confidence: np.ndarray) -> np.ndarray:
    """From c [n] (NaN: not known) to w."""
    n = len(confidence)
    known = ~np.isnan(confidence)
    weight = np.ones(n)
    if known.any() and confidence[known].mean() > 0:
        weight[known] = np.clip(confidence[known] / confidence[known].mean(), 0, 3)
    rho = n / (n + SHRINKAGE)
    weight = rho * weight + 1 - rho
    return (weight / weight.mean()).astype(np.float32) if n else weight.astype(np.float32)


def probe_features(v: np.ndarray, u: np.ndarray) -> np.ndarray:
    """[LN(v), LN(u), LN(v) * LN(u)], [n, 3 D]."""
    image, text = layer_norm(v), layer_norm(u)
    return np.concatenate([image, text, image * text], axis=1)


def layer_norm(rows: np.ndarray, epsilon: float = 1e-5) -> np.ndarray:
    """Layer normalisation without parameters, as torch's: variance over the row, epsilon inside the root."""
    rows = np.asarray(rows, np.float64)
    centred = rows - rows.mean(axis=1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + epsilon)


def answer_confidence(features: np.ndarray, soft: np.ndarray, image_ids: Sequence[str], seed: int) -> np.ndarray:
    """c of every instance, float64 [n], NaN if none of its answers is in all five training folds.

    The probe is multinomial logistic regression (L2, C = 1); an item with several answers enters once for each, with
    weights s_a / sum s that add up to one.
    """
    n, classes = soft.shape
    confidence = np.full(n, np.nan)
    features = features.astype(np.float32)  # twice as fast; c changes by less than the fit's tolerance
    fold = folds(image_ids, seed)
    if fold.max(initial=-1) + 1 < FOLDS:
        return confidence
    per_fold = np.stack([(soft[fold == k] > 0).sum(0) for k in range(FOLDS)])
    in_all = (per_fold.sum(0) - per_fold > 0).all(0)  # found in each set of four folds
    masked = np.where(in_all, soft, 0.0)
    generator = np.random.default_rng(seed)
    for k in range(FOLDS):
        train = np.flatnonzero((fold != k) & (masked.sum(1) > 0))
        train = np.sort(generator.permutation(train)[:PROBE_ITEMS])
        test = np.flatnonzero((fold == k) & (masked.sum(1) > 0))
        if len(train) and len(test):
            probability = np.zeros((len(test), classes))
            found, values = _probe(features[train], masked[train], features[test])
            probability[:, found] = values
            confidence[test] = (masked[test] * probability).sum(1) / masked[test].sum(1)
    return confidence


def folds(image_ids: Sequence[str], seed: int) -> np.ndarray:
    """The fold 0..4 of every item: images are shuffled and dealt out one by one."""
    _, image = np.unique(np.asarray(image_ids), return_inverse=True)
    dealt = np.random.default_rng(seed).permutation(image.max(initial=-1) + 1) % FOLDS
    return np.asarray(dealt[image])


def _probe(features: np.ndarray, soft: np.ndarray, held_out: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fit on soft labels; returns the classes and their probabilities [held out, classes found]."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    row, label = np.nonzero(soft)
    if len(np.unique(label)) == 1:
        return label[:1], np.ones((len(held_out), 1))
    probe = LogisticRegression(C=1.0, max_iter=200, tol=1e-3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the last digits of c do not matter
        probe.fit(features[row], label, sample_weight=(soft / soft.sum(1, keepdims=True))[row, label])
    return probe.classes_, probe.predict_proba(held_out)
