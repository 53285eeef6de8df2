"""Hartigan's dip test: do numbers fall into more than one group? (J. A. and P. M. Hartigan, Ann. Statist. 13, 1985)

The dip is the largest distance between the numbers' distribution function and the nearest one with a single mode. Its
null distribution is that of uniform numbers, the hardest case with one mode.
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

CRITICAL = {
    4: 0.2070, 5: 0.1861, 6: 0.1646, 7: 0.1599, 8: 0.1542, 9: 0.1464, 10: 0.1397, 12: 0.1303, 15: 0.1185, 20: 0.1050,
    30: 0.0883, 50: 0.0701, 100: 0.0512,
}  # fmt: skip
"""What the dip of n uniform numbers exceeds in 5 % of samples (60,000 samples each, by the package diptest)."""


def several_groups(numbers: Array) -> bool:
    """Whether the dip test rejects a single mode at 5 %; never of fewer than four numbers, or where all are equal."""
    n = len(numbers)
    if n < min(CRITICAL) or np.ptp(numbers) == 0:
        return False
    scaled = [value * size**0.5 for size, value in CRITICAL.items()]  # nearly constant in n
    return dip(numbers) * n**0.5 > float(np.interp(n, list(CRITICAL), scaled))


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
