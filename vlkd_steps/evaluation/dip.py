"""Hartigan's dip test: do numbers fall into more than one group? (J. A. and P. M. Hartigan, Ann. Statist. 13, 1985)

The dip is the largest distance between the numbers' distribution function and the nearest one with a single mode. Its
null distribution is that of uniform numbers, the hardest case with one mode.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from vlkd_steps.core.seeds import derive

Array = NDArray[np.float64]
DRAWS = 2_000  # samples of uniform numbers


def several_groups(numbers: Array, level: float = 0.05) -> bool:
    """Whether the dip test rejects a single mode; never for fewer than four numbers, which cannot show it."""
    return len(numbers) >= 4 and dip(numbers) > _critical(len(numbers), level) + 1e-12


def dip(numbers: Array) -> float:
    """The dip statistic, from 1 / 2n to 1 / 4."""
    x = np.sort(np.asarray(numbers, dtype=float))
    n = len(x)
    x += np.arange(n) * 1e-9 * max(x[-1] - x[0], 1e-9)  # equal numbers are a steep rise, not a jump
    above = np.arange(1, n + 1) / n  # the distribution function at x, and just before it
    before = above - 1 / n
    low, high, distance = 0, n - 1, 1 / n
    while True:
        convex = low + _hull(x[low : high + 1], before[low : high + 1])
        concave = low + _hull(x[low : high + 1], -above[low : high + 1])
        minorant, majorant = np.interp(x, x[convex], before[convex]), np.interp(x, x[concave], above[concave])
        gap = majorant - minorant
        left, right = convex[np.argmax(gap[convex])], concave[len(concave) - 1 - np.argmax(gap[concave][::-1])]
        widest = max(gap[left], gap[right])
        if gap[right] > gap[left]:
            left = convex[convex <= right][-1]
        else:
            right = concave[concave >= left][0]
        if widest <= distance or (left, right) == (low, high):
            return float(distance / 2)
        outside = np.concatenate([(above - minorant)[low : left + 1], (majorant - before)[right : high + 1]])
        distance, low, high = max(distance, outside.max()), left, right


def _hull(x: Array, y: Array) -> NDArray[np.intp]:
    """The positions at which the largest convex function below the points (x, y) touches them; x ascending."""
    kept: list[int] = []
    for last in range(len(x)):
        while len(kept) > 1 and (y[kept[-1]] - y[kept[-2]]) * (x[last] - x[kept[-2]]) >= (y[last] - y[kept[-2]]) * (
            x[kept[-1]] - x[kept[-2]]
        ):
            kept.pop()
        kept.append(last)
    return np.array(kept)


@cache
def _critical(n: int, level: float) -> float:
    """What the dip of n uniform numbers exceeds in a share `level` of samples."""
    generator = np.random.default_rng(derive(0, "dip", n))
    return float(np.quantile([dip(sample) for sample in generator.random((DRAWS, n))], 1 - level))
