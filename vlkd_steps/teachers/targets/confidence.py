"""Confidence weight: an instance's distillation loss is weighted by how well the teacher knows its answer.

See docs/papers.md, "Confidence weight"; the formula is our choice. The teacher does not answer questions, so its
knowledge is measured by a linear probe on its features; each instance is scored by a probe that was not fitted on its
image.
"""

from collections.abc import Sequence

import numpy as np
from scipy import sparse

from vlkd_steps.core.arrays import unit
from vlkd_steps.teachers.targets.cross_fit import FOLDS, Features, ask, folds

SHRINKAGE = 500
BLOCK = 8192
"""Items whose choices are processed together: all 1.7 million choices of VCR would be several copies of 3.5 GB."""


def weights(
    features: Features, soft: sparse.csr_matrix, image_ids: Sequence[str], seed: int, probe_items: int, threads: int = 1
) -> np.ndarray:
    """The weight of every instance's distillation term.

    ``c = sum_a s_a p_a / sum_a s_a`` with soft labels s and p from a cross-fitted probe;
    ``w = clip(c / mean(c), 0, 3)``; ``w <- rho w + 1 - rho`` with ``rho = n / (n + 500)``; then w is divided by its
    mean over the split. Answers that are not in all five training folds do not enter the sums; an instance without any
    remaining answer has w = 1 before the last step.

    Args:
        features: what the probe sees of the teacher: `both` of its embeddings, or `alone` one of them.
        soft: labels [n, C], zero or more; a row without entries has no answer in the vocabulary.
        image_ids: n image names; items of one image share a fold.
        seed: of the folds.
        probe_items: a probe is fitted on at most so many items of its folds, drawn at random.
        threads: in which the folds' probes are fitted; their number changes no byte.

    Returns:
        float32 [n] with mean 1.
    """
    return _rescaled(answer_confidence(features, soft, image_ids, seed, probe_items, threads))


def margin_weights(
    features: Features,
    blind: Features,
    soft: sparse.csr_matrix,
    image_ids: Sequence[str],
    seed: int,
    probe_items: int,
    threads: int = 1,
) -> np.ndarray:
    """As `weights`, with ``max(0, c - c')`` in the place of c, where c' is that of probes on `blind`, the texts alone.

    Both kinds of probes have the same folds and are fitted on the same items. A difference, not a ratio: the latter is
    largest where both are near 0, which is where the teacher knows nothing.
    """
    seen, read = (answer_confidence(of, soft, image_ids, seed, probe_items, threads) for of in (features, blind))
    return _rescaled(np.maximum(seen - read, 0))


def weights_above_prior(
    features: Features, soft: sparse.csr_matrix, image_ids: Sequence[str], seed: int, probe_items: int, threads: int = 1
) -> np.ndarray:
    """As `weights` where the mean of c over the split is above the share of its most frequent answer, else ones."""
    confidence = answer_confidence(features, soft, image_ids, seed, probe_items, threads)
    known = ~np.isnan(confidence)
    judged = _in_all_folds(soft, folds(image_ids, seed))[known]
    if not known.any() or confidence[known].mean() <= judged.multiply(1 / judged.sum(1)).mean(0).max():
        return np.ones(len(confidence), np.float32)
    return _rescaled(confidence)


def both(v: np.ndarray, v_rows: np.ndarray, u: np.ndarray, u_rows: np.ndarray) -> Features:
    """`probe_features` of items that show the images v[v_rows] and have the texts u[u_rows]."""
    return lambda items: probe_features(v[v_rows[items]], u[u_rows[items]])


def alone(table: np.ndarray, rows: np.ndarray) -> Features:
    """LN(table[rows]), of a teacher that sees images alone or reads texts alone."""
    return lambda items: layer_norm(table[rows[items]]).astype(np.float32)


def choice_weights(likely: np.ndarray, right: np.ndarray) -> np.ndarray:
    """As `weights`, for items with choices (VCR): c is the probability of the right choice.

    Args:
        likely: `choice_probabilities`, [n, A].
        right: which choice is right, int [n].
    """
    return _rescaled(_of_right(likely, right))


def choice_margin_weights(likely: np.ndarray, right: np.ndarray) -> np.ndarray:
    """As `choice_weights`, with ``max(0, c - 1 / A)``: who sees no image is taken to guess among A choices."""
    return _rescaled(np.maximum(_of_right(likely, right) - 1 / likely.shape[1], 0))


def _of_right(likely: np.ndarray, right: np.ndarray) -> np.ndarray:
    return np.asarray(np.take_along_axis(likely, right[:, None], axis=1)[:, 0])


def choice_probabilities(v: Features, texts: Features, choice_rows: np.ndarray, temperature: float) -> np.ndarray:
    """The softmax of cos(image, text) / tau over the choices of each item, float64 [n, A].

    Args:
        v: numbers of items -> the teacher's image embeddings, [B, D].
        texts: numbers of distinct texts of the choices -> their embeddings [B, D].
        choice_rows: which of them each choice of an item has, int [n, A].
        temperature: tau, the teacher's own.
    """
    found = np.zeros(choice_rows.shape)
    for start in range(0, len(choice_rows), BLOCK):
        here = np.arange(start, min(start + BLOCK, len(choice_rows)))
        distinct, rows = np.unique(choice_rows[here], return_inverse=True)
        read = unit(texts(distinct))[rows.reshape(len(here), -1)]
        scores = np.einsum("nd,nad->na", unit(v(here)), read).astype(np.float64)
        scores /= temperature
        likely = np.exp(scores - scores.max(axis=1, keepdims=True))
        found[here] = likely / likely.sum(axis=1, keepdims=True)
    return found


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
    """[LN(v), LN(u), LN(v) * LN(u)], float32 [n, 3 D]."""
    image, text = layer_norm(v), layer_norm(u)
    return np.concatenate([image, text, image * text], axis=1, dtype=np.float32, casting="same_kind")


def layer_norm(rows: np.ndarray, epsilon: float = 1e-5) -> np.ndarray:
    """Layer normalisation without parameters, as torch's: variance over the row, epsilon inside the root."""
    rows = np.asarray(rows, np.float64)
    centred = rows - rows.mean(axis=1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + epsilon)


def answer_confidence(
    features: Features, soft: sparse.csr_matrix, image_ids: Sequence[str], seed: int, probe_items: int, threads: int = 1
) -> np.ndarray:
    """c of every instance, float64 [n], NaN where it has no answer that all five training folds know."""
    confidence = np.full(soft.shape[0], np.nan)
    fold = folds(image_ids, seed)
    if fold.max(initial=-1) + 1 < FOLDS:
        return confidence
    masked = _in_all_folds(soft, fold)

    def judge(items: np.ndarray, found: np.ndarray, likely: np.ndarray) -> None:
        scores = masked[items]
        confidence[items] = scores[:, found].multiply(likely).sum(1).A1 / scores.sum(1).A1

    known = masked.sum(1).A1 > 0
    ask(features, masked, fold, known, seed, probe_items, threads, judge)
    return confidence


def _in_all_folds(soft: sparse.csr_matrix, fold: np.ndarray) -> sparse.csr_matrix:
    """The labels that are found in each set of four folds, float64 [n, fewer]."""
    per_fold = np.stack([(soft[fold == k] > 0).sum(0).A1 for k in range(FOLDS)])
    in_all = (per_fold.sum(0) - per_fold > 0).all(0)
    return sparse.csr_matrix(soft[:, np.flatnonzero(in_all)], dtype=np.float64)
