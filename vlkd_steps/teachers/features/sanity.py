"""Whether a teacher of images and texts is better than chance on a data set: is an image nearest to its own text?"""

from collections import defaultdict
from typing import NamedTuple

import numpy as np
import polars as pl

from vlkd_steps.core.arrays import unit
from vlkd_steps.teachers.features.store import FeatureStore

ITEMS = 256
CHANCE = 0.5
ERRORS = 2.0
"""How many standard errors above chance count as above it."""


class ZeroShot(NamedTuple):
    """How often, for `items` images, the own text is nearer than another image's (0..1), and the standard error."""

    found: float
    error: float
    items: int

    @property
    def above_chance(self) -> bool:
        return self.found - ERRORS * self.error > CHANCE

    def __str__(self) -> str:
        return (
            f"zero-shot: an image is nearer to its own text than to another image's in {100 * self.found:.1f} % "
            f"(chance: {100 * CHANCE:.1f} %, {self.items} items)"
        )


def zero_shot(store: FeatureStore, instances: pl.DataFrame, most: int = ITEMS) -> ZeroShot | None:
    """Compare images and texts of evenly spaced items by the store's features.

    Equal cosines count half. None if the store lacks images or texts, or no two items differ.

    Args:
        instances: columns ``image_id, text``.
    """
    if not (store.has("image") and store.has("text")):
        return None
    pairs = instances.select("image_id", "text").unique().sort("image_id", "text")
    pairs = pairs[np.unique(np.linspace(0, len(pairs) - 1, min(most, len(pairs))).round().astype(int))]
    names, texts = pairs["image_id"].to_list(), pairs["text"].to_list()
    v, u = unit(store.images(names)), unit(store.texts(texts))
    if v.shape[1] != u.shape[1]:
        return None
    own: dict[str, set[str]] = defaultdict(set)
    for name, text in zip(names, texts, strict=True):
        own[name].add(text)
    shares = []
    for name, mine, cosines in zip(names, (v * u).sum(1), v @ u.T, strict=True):
        others = cosines[[text not in own[name] for text in texts]]
        if len(others):
            shares.append(float((np.sign(mine - others).mean() + 1) / 2))
    if len(shares) < 2:
        return None
    return ZeroShot(float(np.mean(shares)), float(np.std(shares, ddof=1) / len(shares) ** 0.5), len(shares))
