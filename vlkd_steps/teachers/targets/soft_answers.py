"""What the teacher would answer to a training item, by a probe that was not fitted on the item's image."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from vlkd_steps.core.errors import UserError
from vlkd_steps.teachers.targets import cross_fit
from vlkd_steps.teachers.targets.cross_fit import Features


@dataclass(frozen=True)
class SoftAnswers:
    """The likeliest answers of each item.

    Attributes:
        classes: int32 [N, K], the likeliest first.
        probabilities: float32 [N, K]; zeros where no probe could be fitted, and beyond the classes that it knows.
    """

    classes: np.ndarray
    probabilities: np.ndarray

    @property
    def lacking(self) -> int:
        """How many items have none."""
        return int((self.probabilities.sum(1) == 0).sum())


def by_probe(
    features: Features,
    soft: sparse.csr_matrix,
    image_ids: Sequence[str],
    seed: int,
    probe_items: int,
    kept: int,
    threads: int = 1,
) -> SoftAnswers:
    """The answers of cross-fitted probes, also to items without an answer of their own; at most `kept` of each item.

    Raises:
        UserError: no probe could be fitted, so the student would be trained without its teacher.
    """
    shape = (soft.shape[0], min(kept, soft.shape[1]))
    told = SoftAnswers(np.zeros(shape, np.int32), np.zeros(shape, np.float32))
    fold = cross_fit.folds(image_ids, seed)

    def tell(items: np.ndarray, classes: np.ndarray, likely: np.ndarray) -> None:
        best = likeliest(likely, shape[1])
        told.classes[items, : best.shape[1]] = classes[best]
        told.probabilities[items, : best.shape[1]] = np.take_along_axis(likely, best, axis=1)

    if fold.max(initial=-1) + 1 == cross_fit.FOLDS:
        cross_fit.ask(features, soft, fold, np.ones(shape[0], bool), seed, probe_items, threads, tell)
    if not told.probabilities.any():
        raise UserError(
            f"none of the {shape[0]} training items gets soft answers: probes need items of {cross_fit.FOLDS} images "
            "or more, with answers in the vocabulary; take a larger shot, or another method than logit_kd"
        )
    return told


def of_choices(likely: np.ndarray) -> SoftAnswers:
    """All choices of each item, from their probabilities [N, A]."""
    best = likeliest(likely, likely.shape[1])
    return SoftAnswers(best.astype(np.int32), np.take_along_axis(likely, best, axis=1).astype(np.float32))


def likeliest(likely: np.ndarray, most: int) -> np.ndarray:
    """The columns of the `most` largest entries of each row, the largest first; of equal ones the first."""
    falling, most = -likely, min(most, likely.shape[1])
    least = np.partition(falling, most - 1, axis=1)[:, most - 1, None]
    above, equal = falling < least, falling == least
    kept = above | (equal & (equal.cumsum(axis=1) <= most - above.sum(axis=1, keepdims=True)))
    columns = np.nonzero(kept)[1].reshape(len(likely), most)
    order = np.argsort(np.take_along_axis(falling, columns, axis=1), axis=1, kind="stable")
    return np.asarray(np.take_along_axis(columns, order, axis=1))
