"""Is a gain real? Intervals over two sources of chance at once: seeds and test images (docs/papers.md, "Intervals").

A method is compared with its reference on D[s, g]: the difference of accuracy in percentage points for seed s and
*image* g, where both were trained on the same subset, from the same initialisation, in the same batch order. Questions
about one image are correlated, so the image is the unit; it is weighted by its number of items, and the mean is
the difference that the table shows. Intervals over items alone, or over seeds alone, are too narrow: in simulation they
cover 66-92 % and 73-95 %, these 93-96 % (tests/evaluation/test_significance_coverage.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from vlkd_steps.core.seeds import derive

Array = NDArray[np.float64]

LEVEL = 0.95
DRAWS = 10_000
_CELLS_AT_ONCE = 4_000_000  # of the bootstrap's table draws x images: about 64 MB


@dataclass(frozen=True)
class Gain:
    """A mean difference in percentage points with its t interval; `None` where the data cannot give one.

    One seed (or one image) shows nothing about how seeds (images) vary, and differences that never vary show nothing
    at all: then `low`, `high`, `p` and `freedom` are None, never a falsely narrow interval.
    """

    gain: float
    low: float | None = None
    high: float | None = None
    p: float | None = None
    freedom: float | None = None


def by_image(scores: Array, image_ids: Sequence[str]) -> tuple[Array, Array]:
    """Average item scores within images.

    Args:
        scores: [..., N], one value per item.
        image_ids: N names; the images come out sorted by name.

    Returns:
        The images' means [..., G] and their numbers of items [G].
    """
    _, image, items = np.unique(np.asarray(image_ids, dtype=str), return_inverse=True, return_counts=True)
    order = np.argsort(image, kind="stable")
    starts = np.concatenate([[0], np.cumsum(items)[:-1]])
    sums = np.add.reduceat(np.asarray(scores, dtype=float)[..., order], starts, axis=-1)
    return sums / items, items.astype(float)


def two_way(differences: Array, items: Array, level: float = LEVEL) -> Gain:
    """The gain with an interval that holds over new seeds and new images.

    The variance of the mean is ``s2_seed/S + s2_image/G - s2_residual/(S G)``, at least each of the first two, because
    the residual variance is inside both of them; t with Satterthwaite's degrees of freedom. Images of unequal size
    enter s2_image and s2_residual as deviations times items / mean items (the ratio estimator's linearisation).

    Args:
        differences: D [S, G] in percentage points, method minus reference.
        items: [G], the number of items of each image.
        level: coverage of the interval.
    """
    seeds, images = differences.shape
    shares = items / items.sum()
    per_seed = differences @ shares
    gain = float(per_seed.mean())
    if seeds < 2 or images < 2:
        return Gain(gain)

    scale = shares * images
    per_image = differences.mean(axis=0)
    residual = differences - per_seed[:, None] - per_image[None, :] + gain
    seed_part = per_seed.var(ddof=1) / seeds
    image_part = np.sum((scale * (per_image - gain)) ** 2) / (images - 1) / images
    residual_part = np.sum((scale * residual) ** 2) / ((seeds - 1) * (images - 1)) / (seeds * images)
    variance = max(seed_part + image_part - residual_part, seed_part, image_part)
    if variance < 1e-18:  # rounding error of differences that are all equal
        return Gain(gain)

    # Satterthwaite: the squared variance over the sum of the squared parts, each divided by its own freedom.
    freedom = variance**2 / (
        seed_part**2 / (seeds - 1) + image_part**2 / (images - 1) + residual_part**2 / ((seeds - 1) * (images - 1))
    )
    error = float(np.sqrt(variance))
    half = float(special.stdtrit(freedom, (1 + level) / 2)) * error  # scipy.stats takes a second to import
    p = float(2 * special.stdtr(freedom, -abs(gain) / error))
    return Gain(gain, gain - half, gain + half, p, float(freedom))


def pigeonhole_bootstrap(
    comparisons: Sequence[Array], items: Array, seed: int = 0, draws: int = DRAWS, level: float = LEVEL
) -> list[tuple[float, float] | None]:
    """Percentile intervals from drawing seeds and images with replacement, each on its own (Owen 2007).

    All comparisons on the same images share the image draws, which cost the most; the other comparisons do
    not change its interval. With few seeds this is a cross-check of `two_way`, not better than it: in simulation it
    covers 94-98 % where the images matter, but 80 % where three seeds do, as so few drawn with replacement vary too
    little (tests/evaluation/test_significance_coverage.py).

    Args:
        comparisons: K matrices D [S_k, G] in percentage points.
        items: [G], the number of items of each image.
        seed: names the draws.

    Returns:
        K pairs (low, high); None for a comparison with fewer than two seeds or two images.
    """
    images = len(items)
    if not comparisons:
        return []
    columns = np.concatenate([differences * items for differences in comparisons]).T  # [G, sum S_k]
    columns = np.concatenate([columns, items[:, None]], axis=1)
    generator = np.random.default_rng(derive(seed, "bootstrap", "images"))
    drawn = np.empty((draws, columns.shape[1]))
    step = max(1, _CELLS_AT_ONCE // images)
    for start in range(0, draws, step):
        rows = min(step, draws - start)
        picks = generator.integers(0, images, size=(rows, images), dtype=np.int32)
        picks += (np.arange(rows, dtype=np.int32) * images)[:, None]
        times = np.bincount(picks.ravel(), minlength=rows * images).reshape(rows, images)
        drawn[start : start + rows] = times.astype(float) @ columns
    means = drawn[:, :-1] / drawn[:, -1:]  # [draws, sum S_k]: each seed's gain on the drawn images

    intervals: list[tuple[float, float] | None] = []
    tails = [(1 - level) / 2, (1 + level) / 2]
    first = 0
    for differences in comparisons:
        seeds = len(differences)
        mine = means[:, first : first + seeds]
        first += seeds
        if seeds < 2 or images < 2:
            intervals.append(None)
            continue
        own = np.random.default_rng(derive(seed, "bootstrap", "seeds", seeds)).integers(0, seeds, (draws, seeds))
        low, high = np.quantile(np.take_along_axis(mine, own, axis=1).mean(axis=1), tails)
        intervals.append((float(low), float(high)))
    return intervals


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's step-down adjustment over a whole table; entries without a p value are no tests and stay None."""
    adjusted: list[float | None] = [None] * len(p_values)
    tested = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    running = 0.0
    for rank, (p, place) in enumerate(tested):
        running = max(running, min(1.0, (len(tested) - rank) * p))
        adjusted[place] = running
    return adjusted
