"""The figures of a sweep: a metric over one swept key, or a map over two."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

from vlkd_steps.config import member_names
from vlkd_steps.reporting.figures import INK, PAPER, SETTINGS, SINGLE, SOFT, margins, svg
from vlkd_steps.reporting.style import Style

MARKS = ("o", "s", "D", "^", "v", "P")
DASHES = ("-", "--", "-.", ":")
DARKEST = 0.55  # opacity of a map's best cell, at which its number is readable


def is_log(values: Sequence[Any]) -> bool:
    """Whether numbers need a logarithmic axis: all are above 0 and span a factor of 4, or grow by equal factors."""
    numbers = sorted(value for value in values if type(value) in (int, float) and value > 0)
    if len(numbers) < max(len(values), 2):
        return False
    ratios = [high / low for low, high in pairwise(numbers)]
    return numbers[-1] >= 4 * numbers[0] or (len(ratios) > 1 and max(ratios) < 1.05 * min(ratios))


def curves(
    values: Sequence[Any], of_shots: Mapping[str, Mapping[int, tuple[float, float | None]]], key: str, style: Style
) -> str:
    """The metric over the values of a key, a line for each shot, labelled at its end, with one sd over seeds.

    Args:
        of_shots: shot -> number of the value -> mean and standard deviation.
    """
    with matplotlib.rc_context(SETTINGS):
        figure = Figure(figsize=(SINGLE, 2.3))
        axes = figure.add_subplot()
        places = _places(axes, values)
        for number, (shot, means) in enumerate(of_shots.items()):
            x = [places[each] for each in means]
            y, spread = [mean for mean, _ in means.values()], [sd or 0.0 for _, sd in means.values()]
            axes.errorbar(
                x, y, yerr=spread if any(spread) else None, color=style.light, linestyle=DASHES[number % len(DASHES)],
                marker=MARKS[number % len(MARKS)], markeredgecolor=PAPER, markeredgewidth=0.8, elinewidth=1,
            )  # fmt: skip
            if len(of_shots) > 1:
                axes.annotate(shot, (x[-1], y[-1]), (6, 0), textcoords="offset points", va="center", fontsize=7.5)
        axes.set_xlabel(key)
        axes.grid(axis="y")
        axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        margins(figure, top=0.15)
        return svg(figure)


def heat_map(
    values: tuple[Sequence[Any], Sequence[Any]], means: Mapping[tuple[int, int], float], keys: Sequence[str],
    style: Style,
) -> str:  # fmt: skip
    """The metric over the values of two keys; a stronger colour is a higher value.

    Args:
        means: by the indices of the first key's value (rows) and of the second's (columns).
    """
    low, high = min(means.values()), max(means.values())
    with matplotlib.rc_context(SETTINGS):
        figure = Figure(figsize=(SINGLE, 0.75 + 0.42 * len(values[0])))
        axes = figure.add_subplot()
        for (row, column), mean in means.items():
            alpha = 0.06 + (DARKEST - 0.06) * ((mean - low) / (high - low) if high > low else 1.0)
            corner = column - 0.5, row - 0.5
            axes.add_patch(Rectangle(corner, 1, 1, facecolor=style.light, alpha=alpha, edgecolor=PAPER, linewidth=1.5))
            weight = "bold" if mean == high else "normal"
            axes.text(column, row, f"{mean:.1f}", ha="center", va="center", color=INK, fontweight=weight)
        for axis, of_key, key in ((axes.yaxis, values[0], keys[0]), (axes.xaxis, values[1], keys[1])):
            axis.set_major_locator(FixedLocator(range(len(of_key))))
            axis.set_ticklabels([member_names.text(value) for value in of_key])
            axis.set_label_text(key)
        axes.set_xlim(-0.5, len(values[1]) - 0.5)
        axes.set_ylim(len(values[0]) - 0.5, -0.5)
        for side in ("left", "bottom"):
            axes.spines[side].set_visible(False)
        margins(figure, top=0.12)
        return svg(figure)


def _places(axes: Axes, values: Sequence[Any]) -> list[float]:
    """The x position of each value: its size if all are numbers, else its index."""
    numeric = all(type(value) in (int, float) for value in values)
    if is_log(values):
        places = [math.log10(value) for value in values]
    else:
        places = [float(value) for value in values] if numeric else [float(number) for number in range(len(values))]
    axes.xaxis.set_major_locator(FixedLocator(places))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks(places, [member_names.text(value) for value in values], color=SOFT)
    aside = 0.12 * (max(places) - min(places)) or 1.0
    axes.set_xlim(min(places) - aside, max(places) + 1.6 * aside)  # room for the labels at the lines' ends
    return places
