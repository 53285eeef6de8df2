"""Probes of a training split that are asked only about images that they were not fitted on."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
from scipy import sparse

from vlkd_steps.teachers.targets import probe

FOLDS = 5

Features = Callable[[np.ndarray], np.ndarray]
"""Numbers of items, int [B] -> their features [B, F]: those of all items at once would be gigabytes."""
Tell = Callable[[np.ndarray, np.ndarray, np.ndarray], None]
"""Told of a block of items, int [B], the classes that their probe knows, int [K], and its probabilities [B, K]."""


def folds(image_ids: Sequence[str], seed: int) -> np.ndarray:
    """The fold 0..4 of every item: images are shuffled and dealt out one by one."""
    _, image = np.unique(np.asarray(image_ids), return_inverse=True)
    dealt = np.random.default_rng(seed).permutation(image.max(initial=-1) + 1) % FOLDS
    return np.asarray(dealt[image])


def ask(
    features: Features,
    soft: sparse.csr_matrix,
    fold: np.ndarray,
    asked: np.ndarray,
    seed: int,
    probe_items: int,
    threads: int,
    tell: Tell,
) -> None:
    """Fit a probe on four folds, ask it about the fifth, five times over.

    Args:
        soft: labels [n, C]; a probe is fitted on items with some label.
        fold: of every item (`folds`).
        asked: the items that are asked about, bool [n].
        seed: of the items drawn.
        probe_items: a probe is fitted on at most so many items of its folds, drawn at random.
        threads: in which the folds' probes are fitted; their number changes no byte.
        tell: called from these threads, with different items each time.
    """
    known = soft.sum(1).A1 > 0
    generator = np.random.default_rng(seed)
    drawn = []
    for k in range(FOLDS):
        train = generator.permutation(np.flatnonzero((fold != k) & known))[:probe_items]
        drawn.append((np.sort(train), np.flatnonzero((fold == k) & asked)))

    def held_out(k: int) -> None:
        train, test = drawn[k]
        if len(train) and len(test):
            _held_out(features, soft, train, test, tell)

    with _single_threaded(), ThreadPoolExecutor(min(threads, FOLDS)) as pool:
        list(pool.map(held_out, range(FOLDS)))


def _held_out(features: Features, soft: sparse.csr_matrix, train: np.ndarray, test: np.ndarray, tell: Tell) -> None:
    found = np.unique(soft[train].indices)  # of the others the probe has seen none: p = 0
    fitted = probe.fit(features(train), soft[train][:, found]) if len(found) > 1 else None
    for start in range(0, len(test), probe.BLOCK):
        here = test[start : start + probe.BLOCK]
        tell(here, found, fitted.probabilities(features(here)) if fitted else np.ones((len(here), 1), np.float32))


@contextmanager
def _single_threaded() -> Iterator[None]:
    """Threads that start within compute their sums alone: those of one thread and of two differ in the last digits."""
    import torch  # late: reading targets needs none

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
