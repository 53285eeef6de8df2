"""Is a gain real? Intervals over two sources of chance at once: seeds and test images (docs/papers.md, "Intervals and
verdicts").

A method is compared with its reference on D[s, g]: the difference of accuracy in percentage points for seed s and
*image* g, where both were trained on the same subset, from the same initialisation, in the same batch order. Questions
about one image are correlated, so the image is the unit; it is weighted by its number of items, and the mean is
the difference that the table shows. Intervals over items alone, or over seeds alone, are too narrow: in simulation they
cover 66-92 % and 73-95 %, these 97.5 % or more of Gaussian seeds (tests/evaluation/test_verdict_rates.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import special

from vlkd_steps.core.seeds import derive
from vlkd_steps.evaluation.dip import several_groups

Array = NDArray[np.float64]

Side = Literal["above", "below", "either"]

LEVEL = 0.95
SD_OF_GROUPS = 5.0
"""Points of accuracy; of numbers on another scale, no spread says that seeds fall into groups."""
DRAWS = 10_000
_CELLS_AT_ONCE = 4_000_000  # of the bootstrap's table draws x images: about 64 MB


@dataclass(frozen=True)
class Gain:
    """A mean difference in percentage points with its t interval; `None` where the data cannot give one.

    One seed (or one image) shows nothing about how seeds (images) vary, and differences that never vary show nothing
    at all: then `low`, `high`, `p` and `freedom` are None, never a falsely narrow interval.

    Attributes:
        p: two-sided, of no difference.
        of_seeds: the difference of each seed.
        grouped: whether the seeds fall into groups (`in_groups`), so that p is not that of t.
        error: the standard error over seeds and images.
    """

    gain: float
    low: float | None = None
    high: float | None = None
    p: float | None = None
    freedom: float | None = None
    of_seeds: tuple[float, ...] = ()
    grouped: bool = False
    error: float | None = None


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


def two_way(differences: Array, items: Array, sd_of_groups: float | None = SD_OF_GROUPS, level: float = LEVEL) -> Gain:
    """The gain with an interval and a p value that hold over new seeds and new images.

    The variance of the mean is ``s2_seed/S + s2_image/G - s2_residual/(S G)``, at least each of the first two, because
    the residual variance is inside both of them. Images of unequal size enter s2_image and s2_residual as deviations
    times items / mean items (the ratio estimator's linearisation).

    The degrees of freedom of t are Satterthwaite's, but no more than S - 1: where few seeds happen to agree, their part
    is estimated as next to nothing, and Satterthwaite's freedom is that of the images. With few seeds it cannot be
    excluded that the seeds matter: the variance over three may be 19 times its estimate (95 % limit).

    Args:
        differences: D [S, G] in percentage points, method minus reference.
        items: [G], the number of items of each image.
        sd_of_groups: as `in_groups`.
        level: coverage of the interval.
    """
    seeds, images = differences.shape
    shares = items / items.sum()
    per_seed = differences @ shares
    gain, of_seeds = float(per_seed.mean()), tuple(map(float, per_seed))
    if seeds < 2 or images < 2:
        return Gain(gain, of_seeds=of_seeds)

    scale = shares * images
    per_image = differences.mean(axis=0)
    residual = differences - per_seed[:, None] - per_image[None, :] + gain
    seed_part = per_seed.var(ddof=1) / seeds
    image_part = np.sum((scale * (per_image - gain)) ** 2) / (images - 1) / images
    residual_part = np.sum((scale * residual) ** 2) / ((seeds - 1) * (images - 1)) / (seeds * images)
    variance = max(seed_part + image_part - residual_part, seed_part, image_part)
    if variance < 1e-18:  # rounding error of differences that are all equal
        return Gain(gain, of_seeds=of_seeds)

    # Satterthwaite: the squared variance over the sum of the squared parts, each divided by its own freedom.
    freedom = variance**2 / (
        seed_part**2 / (seeds - 1) + image_part**2 / (images - 1) + residual_part**2 / ((seeds - 1) * (images - 1))
    )
    freedom = min(float(freedom), seeds - 1.0)
    error = float(np.sqrt(variance))
    half = float(special.stdtrit(freedom, (1 + level) / 2)) * error  # scipy.stats takes a second to import
    found = Gain(gain, gain - half, gain + half, None, freedom, of_seeds, in_groups(per_seed, sd_of_groups), error)
    return replace(found, p=p_value(found))


def over_seeds(differences: Array, sd_of_groups: float | None = SD_OF_GROUPS, level: float = LEVEL) -> Gain:
    """The mean of one difference a seed, with an interval and a p value that hold over new seeds: t with S - 1."""
    gain, of_seeds, seeds = float(differences.mean()), tuple(map(float, differences)), len(differences)
    error = float(differences.std(ddof=1)) / np.sqrt(seeds) if seeds > 1 else 0.0
    if error < 1e-9:  # rounding error of differences that are all equal
        return Gain(gain, of_seeds=of_seeds)
    half = float(special.stdtrit(seeds - 1, (1 + level) / 2)) * error
    grouped = in_groups(differences, sd_of_groups)
    found = Gain(gain, gain - half, gain + half, None, seeds - 1.0, of_seeds, grouped, float(error))
    return replace(found, p=p_value(found))


def in_groups(of_seeds: Array, sd_of_groups: float | None = SD_OF_GROUPS) -> bool:
    """Whether seeds fall into groups, or differ so much that few of them say little: then t does not describe them.

    Args:
        sd_of_groups: the standard deviation above which they differ so much; None: only the dip test decides.
    """
    wide = sd_of_groups is not None and float(np.std(of_seeds, ddof=1)) > sd_of_groups
    return wide or several_groups(of_seeds.round(9))


def p_value(found: Gain, null: float = 0.0, side: Side = "either") -> float | None:
    """The p value of a gain against a null hypothesis of one's own; None where there is no interval.

    Where the seeds fall into groups, that of an exact sign-flip test over the seeds replaces that of t, unless it is
    the smaller one: it takes the images as given, which shift the gains of all seeds alike.

    Args:
        null: the gain in points under the null hypothesis.
        side: what is to be shown: a gain ``above`` or ``below`` the null, or ``either``, which is two-sided.
    """
    if found.error is None or found.freedom is None:
        return None
    of_t = _p_of_t(found.gain - null, found.error, found.freedom, side)
    return max(of_t, sign_flip(np.array(found.of_seeds) - null, side)) if found.grouped else of_t


def _p_of_t(difference: float, error: float, freedom: float, side: Side) -> float:
    t = difference / error
    if side == "either":
        return float(2 * special.stdtr(freedom, -abs(t)))
    return float(special.stdtr(freedom, -t if side == "above" else t))


def sign_flip(differences: Array, side: Side = "either") -> float:
    """The exact p value of a mean of differences whose signs are arbitrary under the null hypothesis.

    All 2^S ways to give S differences their signs are equally likely then; of more than 16 differences, a sample of
    them is drawn. Five differences cannot have a two-sided p below 1/16, ten can have 1/512.
    """
    from scipy import stats  # takes a second to import

    alternative = {"either": "two-sided", "above": "greater", "below": "less"}[side]
    found = stats.permutation_test(
        (differences,), np.mean, permutation_type="samples", vectorized=True, n_resamples=2**16,
        alternative=alternative, rng=np.random.default_rng(derive(0, "sign_flip")),
    )  # fmt: skip
    return float(found.pvalue)


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


def benjamini_hochberg(p_values: Sequence[float | None]) -> list[float | None]:
    """Benjamini and Hochberg's adjustment of the false discovery rate; entries without a p value stay None."""
    from scipy import stats  # takes a second to import

    tested = [place for place, p in enumerate(p_values) if p is not None]
    adjusted: list[float | None] = [None] * len(p_values)
    if tested:
        found = stats.false_discovery_control([p_values[place] for place in tested])
        for place, value in zip(tested, found, strict=True):
            adjusted[place] = float(value)
    return adjusted
