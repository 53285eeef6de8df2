"""Image-text retrieval: recall at 1, 5 and 10 in both directions, for images with one caption or more.

A caption finds its image if that is among its k nearest; an image finds a caption if any of its own is among its k
nearest (the convention for COCO and Flickr30k). What is equally near counts as nearer, so a model that gives everything
one score finds nothing.
"""

from collections.abc import Sequence

import numpy as np

from vlkd_steps.core.errors import UserError

DEPTHS = (1, 5, 10)
ROUNDING = 1e-12  # of a float64 product of unit vectors: equal vectors may differ by less
ROWS = 1024  # compared at a time, so that memory grows with the set, not with its square


def recall(texts: np.ndarray, images: np.ndarray, image_of: Sequence[int]) -> dict[str, dict[str, float]]:
    """Recall in percent, two decimals.

    Args:
        texts: embeddings of N captions, float [N, D] of length 1.
        images: embeddings of M distinct images, float [M, D] of length 1.
        image_of: the image of each caption, int [N]; every image has one or more.

    Returns:
        ``text_to_image`` and ``image_to_text``, each with ``R@1``, ``R@5`` and ``R@10``.

    Raises:
        ValueError: numbers that do not fit.
        UserError: an embedding is not finite.
    """
    for kind, rows in (("captions", texts), ("images", images)):
        if broken := int((~np.isfinite(rows).all(axis=1)).sum()):
            raise UserError(
                f"retrieval: the embeddings of {broken} of {len(rows)} {kind} are not finite numbers, so the model has "
                "diverged; train it again with a lower training.learning_rate"
            )
    own = np.asarray(image_of)
    if len(own) != len(texts) or set(own.tolist()) != set(range(len(images))):
        raise ValueError(f"{len(texts)} captions, {len(own)} images of captions, {len(images)} images: these differ")
    best_own = np.full(len(images), -np.inf, np.float64)  # an image's nearest caption among its own
    ranks = np.zeros(len(texts), np.int64)
    for start in range(0, len(texts), ROWS):
        part = slice(start, start + ROWS)
        near = texts[part].astype(np.float64) @ images.T.astype(np.float64)
        mine = near[np.arange(len(near)), own[part]]
        ranks[part] = (near >= mine[:, None] - ROUNDING).sum(1) - 1
        np.maximum.at(best_own, own[part], mine)
    image_ranks = np.zeros(len(images), np.int64)
    for start in range(0, len(texts), ROWS):
        part = slice(start, start + ROWS)
        near = texts[part].astype(np.float64) @ images.T.astype(np.float64)
        others = own[part][:, None] != np.arange(len(images))
        image_ranks += ((near >= best_own - ROUNDING) & others).sum(0)
    return {name: _shares(found) for name, found in (("text_to_image", ranks), ("image_to_text", image_ranks))}


def _shares(ranks: np.ndarray) -> dict[str, float]:
    return {f"R@{depth}": round(100 * float((ranks < depth).mean()), 2) for depth in DEPTHS}
