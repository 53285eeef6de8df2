"""The figures of a report, as SVG text; equal numbers give equal bytes.

Every figure is drawn once. `inline` adapts the drawing to the page, where its colours follow the light or dark theme.
"""

import io
import math
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

from vlkd_steps.reporting.style import Style
from vlkd_steps.reporting.table import Row, name, scale, sure, values

INK, SOFT, RULE, PAPER = "#1b2027", "#636b78", "#d9dde3", "#ffffff"
SINGLE = 2.8  # width in inches of a single panel: its text stays readable in a narrow column
LETTER = 0.078  # inches, the average width of a name's letters
SETTINGS: Any = {
    # Not the user's matplotlibrc: equal numbers give equal bytes on every machine.
    **{key: value for key, value in matplotlib.rcParamsDefault.items() if not key.startswith("backend")},
    "text.parse_math": False,  # a value that was swept may contain $
    "svg.fonttype": "none",  # text stays text: it can be searched, read aloud and uses the page's font
    "svg.hashsalt": "vlkd",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "axes.edgecolor": RULE,
    "axes.labelcolor": SOFT,
    "axes.titlesize": 10,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.facecolor": PAPER,
    "figure.facecolor": PAPER,
    "grid.color": RULE,
    "grid.linewidth": 0.7,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "text.color": INK,
    "lines.linewidth": 1.9,
    "lines.markersize": 5.5,
    "legend.frameon": False,
    "path.simplify": False,
}

Curve = Mapping[int, Sequence[float]]


def learning_curves(rows: Sequence[Row], styles: Mapping[str, Style]) -> str:
    """Accuracy over shots with bands of one standard deviation; below, the gain with its 95 % interval.

    A few seeds are drawn as dots (`table.by_seed`).

    One row for each (data set, student), one column for each evaluation set in `rows`, those of `gains.csv`.
    """
    places, sets = _parts(rows, "dataset", "student"), values(rows, "evaluation_set")
    several = len(places) * len(sets) > 1
    title = _titles(rows)
    heights = [1.35, 1] if any(row["gain"] is not None for row in rows) else [1.35]
    with matplotlib.rc_context(SETTINGS):
        width = 3.4 * len(sets) if several else SINGLE
        figure = Figure(figsize=(width, (0.8 + 1.5 * sum(heights)) * len(places) + 0.4 * several))
        blocks = figure.add_gridspec(len(places), 1, hspace=0.22)
        for number, of_place in enumerate(places.values()):
            block = blocks[number].subgridspec(len(heights), len(sets), height_ratios=heights, hspace=0.2, wspace=0.2)
            own = values(of_place, "evaluation_set")
            for evaluation_set in own:
                mine = [row for row in of_place if row["evaluation_set"] == evaluation_set]
                column = sets.index(evaluation_set)
                axes = [figure.add_subplot(block[line, column]) for line in range(len(heights))]
                _accuracy(axes[0], mine, styles)
                if several:
                    axes[0].set_title(title(mine[0]))
                if len(axes) > 1:
                    _gain(axes[1], mine, styles)
                axes[-1].set_xlabel(f"training {mine[0]['unit']}")
                if evaluation_set == min(own, key=sets.index):
                    for each, label in zip(axes, (scale(mine[0]), "gain, points"), strict=False):
                        each.set_ylabel(label)
        margins(figure, top=0.85 + _legend(figure) if several else 0.15)
        return svg(figure)


def gains(rows: Sequence[Row], styles: Mapping[str, Style]) -> str:
    """Every gain with its 95 % interval, one line each; marks are filled if the interval excludes 0.

    A variant at a shot has the same line in every panel, as the panels share the names at their left.
    """
    compared = [row for row in rows if row["gain"] is not None]
    panels, shots = _parts(compared, "dataset", "student", "evaluation_set"), values(compared, "shot")
    names = sorted({(row["variant"], row["shot"]): None for row in compared}, key=lambda name: shots.index(name[1]))
    title = _titles(rows)
    with matplotlib.rc_context(SETTINGS):
        columns = min(4, max(1, len(panels)))
        lines = math.ceil(len(panels) / columns) or 1
        figure = Figure(figsize=(3.4 * columns, (1.1 + 0.26 * (len(names) or 1)) * lines))
        space = {"wspace": 0.12, "hspace": 0.5}
        grid = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True, gridspec_kw=space)
        for axes in grid.flat[len(panels) :]:
            axes.set_visible(False)
        for axes, mine in zip(grid.flat, panels.values(), strict=False):
            axes.set_title(title(mine[0]))
            _forest(axes, mine, names, styles)
        if not panels:
            grid[0, 0].text(0, 0.5, "no variant could be compared with the reference")
        longest_name = max((len(f"{styles[row['variant']].label} {row['shot']}") for row in rows), default=0)
        left = max(1.3, 0.2 + LETTER * longest_name)
        figure.set_figwidth(figure.get_figwidth() + left - 1.3)
        margins(figure, left=left, top=0.4)
        return svg(figure)


def training_curves(
    panels: Mapping[tuple[str, str], Mapping[str, Curve]], styles: Mapping[str, Style], label: str
) -> str:
    """Curves over training steps: the mean over seeds, with their range as a band.

    Args:
        panels: (data set, shot) -> variant -> step -> the values of all seeds.
        label: of the vertical axis.
    """
    datasets = list(dict.fromkeys(dataset for dataset, _ in panels))
    shots = list(dict.fromkeys(shot for _, shot in panels))
    with matplotlib.rc_context(SETTINGS):
        several = len(panels) > 1
        size = (3.4 * len(shots), 2.6 * len(datasets) + 0.4) if several else (SINGLE, 2.2)
        figure = Figure(figsize=size)
        grid = figure.subplots(
            max(1, len(datasets)), max(1, len(shots)), squeeze=False, sharex=True, sharey="row",
            gridspec_kw={"wspace": 0.12, "hspace": 0.42},
        )  # fmt: skip
        for line, dataset in enumerate(datasets):
            for column, shot in enumerate(shots):
                axes = grid[line, column]
                if several:
                    axes.set_title(f"{dataset}: shot {shot}")
                _training(axes, panels.get((dataset, shot), {}), styles)
            grid[line, 0].set_ylabel(label)
        for axes in grid[-1]:
            axes.set_xlabel("step")
        if not panels:
            grid[0, 0].text(0, 0.5, "the runs left no journal")
        margins(figure, top=0.85 + _legend(figure) if several else 0.15)
        return svg(figure)


def inline(drawn: str, styles: Mapping[str, Style], prefix: str) -> str:
    """A figure for the page: theme colours by CSS variables, the page's font, and unique ids.

    Args:
        drawn: the result of a figure function.
        styles: those of that figure.
        prefix: distinguishes the ids of this figure from those of the others on the page.
    """
    text = drawn[drawn.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, count=1, flags=re.DOTALL)
    text = re.sub(r' (width|height)="[\d.]+pt"', "", text, count=2)
    variables = {INK: "--ink", SOFT: "--soft", RULE: "--rule", PAPER: "--card"}
    variables |= {style.light: f"--v-{variant}" for variant, style in styles.items()}
    text = re.sub(r"<[^>]*>", lambda tag: _adapted(tag[0], variables, prefix), text)  # texts stay as they are
    return text.replace("<svg ", '<svg aria-hidden="true" focusable="false" ', 1)


def _adapted(tag: str, variables: Mapping[str, str], prefix: str) -> str:
    """A tag with variables for its colours, coordinates to a tenth of a point (1/72 inch), and ids of its own."""
    for colour, variable in variables.items():
        tag = tag.replace(colour, f"var({variable})")
    tag = re.sub(r"font: ([\d.]+)px [^;\"]+", r"font-size: \1px; font-family: inherit", tag)
    tag = re.sub(r'^<g id="[^"]+"', "<g", tag)  # nothing refers to a group
    tag = re.sub(r"-?\d+\.\d{4,}", lambda number: f"{float(number[0]):.1f}", tag)
    tag = re.sub(r'\bid="([^"]+)"', rf'id="{prefix}-\1"', tag)
    tag = re.sub(r"url\(#([^)]+)\)", rf"url(#{prefix}-\1)", tag)
    return re.sub(r'href="#([^"]+)"', rf'href="#{prefix}-\1"', tag)


def _titles(rows: Sequence[Row]) -> Callable[[Row], str]:
    """The title of a row's panel: data set and evaluation set, with the student where a data set has several."""
    students = [dataset for dataset, _ in _parts(rows, "dataset", "student")]

    def title(row: Row) -> str:
        student = f" ({row['student']})" if students.count(row["dataset"]) > 1 else ""
        return f"{row['dataset']}{student}: {name(row['evaluation_set'])}"

    return title


def _parts(rows: Sequence[Row], *columns: str) -> dict[tuple[str, ...], list[Row]]:
    panels: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        panels.setdefault(tuple(row[column] for column in columns), []).append(row)
    return panels


def _shots(axes: Axes, shots: Sequence[str]) -> dict[str, float]:
    """The x position of each shot: on a logarithmic axis if all are numbers, else evenly spaced in grid order."""
    numbers = [float(shot) for shot in shots if shot.isdecimal()]
    if len(numbers) == len(shots):
        places = {shot: math.log10(number) for shot, number in zip(shots, numbers, strict=True)}
    else:
        places = {shot: float(place) for place, shot in enumerate(shots)}
    axes.xaxis.set_major_locator(FixedLocator(list(places.values())))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks(list(places.values()), [f"{int(s):,}".replace(",", " ") if s.isdecimal() else s for s in shots])
    left, right = min(places.values()), max(places.values())
    aside = 0.12 * (right - left) or 1.0
    axes.set_xlim(left - aside, right + aside)  # the same for both plots of a column
    return places


def _asides(rows: Sequence[Row], shots: Sequence[float]) -> dict[str, float]:
    """How far beside its shot each variant is drawn, so that no mark hides another."""
    variants = values(rows, "variant")
    width = max(shots) - min(shots)
    beside = width * min(0.05, 0.2 / max(1, len(variants) - 1)) or min(0.3, 1.6 / max(1, len(variants) - 1))
    return {variant: beside * (number - (len(variants) - 1) / 2) for number, variant in enumerate(variants)}


def _accuracy(axes: Axes, rows: Sequence[Row], styles: Mapping[str, Style]) -> None:
    places = _shots(axes, values(rows, "shot"))
    asides = _asides(rows, [*places.values()]) if len(places) == 1 else {}
    for (variant,), mine in _parts(rows, "variant").items():
        style = styles[variant]
        mine = sorted(mine, key=lambda row: places[row["shot"]])
        x, means = [places[row["shot"]] + asides.get(variant, 0.0) for row in mine], [row["mean"] for row in mine]
        low = [row["mean"] - (row["sd"] or 0) for row in mine]
        high = [row["mean"] + (row["sd"] or 0) for row in mine]
        axes.fill_between(x, low, high, color=style.light, alpha=0.16, linewidth=0)
        if len(mine) == 1:  # a band of one point would be invisible
            axes.vlines(x, low, high, color=style.light, alpha=0.5)
        dots = [(place, value) for place, row in zip(x, mine, strict=True) for value in row.get("of_seeds", [])]
        if dots:
            axes.plot(*zip(*dots, strict=True), ".", color=style.light, markersize=3, alpha=0.7)
        axes.plot(
            x, means, color=style.light, linestyle=style.dash, marker=style.marker,
            markeredgecolor=PAPER, markeredgewidth=0.8, label=style.label,
        )  # fmt: skip
    axes.grid(axis="y")
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))


def _gain(axes: Axes, rows: Sequence[Row], styles: Mapping[str, Style]) -> None:
    """Gains side by side at each shot, so that intervals do not hide each other."""
    places = _shots(axes, values(rows, "shot"))
    asides = _asides(rows if len(places) == 1 else [row for row in rows if row["gain"] is not None], [*places.values()])
    rows = [row for row in rows if row["gain"] is not None]
    axes.axhline(0, color=SOFT, linewidth=1)
    for variant in values(rows, "variant"):
        style, aside = styles[variant], asides[variant]
        mine = sorted((row for row in rows if row["variant"] == variant), key=lambda row: places[row["shot"]])
        x = [places[row["shot"]] + aside for row in mine]
        axes.plot(x, [row["gain"] for row in mine], color=style.light, linewidth=0.8, alpha=0.45)
        for place, row in zip(x, mine, strict=True):
            if row["gain_low"] is not None:
                axes.vlines(place, row["gain_low"], row["gain_high"], color=style.light, linewidth=1.8)
            axes.plot(
                [place], [row["gain"]], color=style.light, marker=style.marker, linestyle="none",
                markerfacecolor=style.light if sure(row) else PAPER, markeredgecolor=style.light,
            )  # fmt: skip
    axes.grid(axis="y")
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))


def _forest(
    axes: Axes, rows: Sequence[Row], names: Sequence[tuple[str, str]], styles: Mapping[str, Style]
) -> None:  # fmt: skip
    """The gains of a panel, each on the line of its variant and shot in `names`."""
    axes.axvline(0, color=SOFT, linewidth=1)
    of_names = {(row["variant"], row["shot"]): row for row in rows}
    for place, row in ((place, of_names[each]) for place, each in enumerate(names) if each in of_names):
        style = styles[row["variant"]]
        if row["gain_low"] is not None:
            axes.hlines(place, row["gain_low"], row["gain_high"], color=style.light, linewidth=1.8)
        axes.plot(
            [row["gain"]], [place], color=style.light, marker=style.marker,
            markerfacecolor=style.light if sure(row) else PAPER, markeredgecolor=style.light,
        )  # fmt: skip
    axes.set_yticks(range(len(names)), [f"{styles[variant].label} {shot}" for variant, shot in names])
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(axis="x")
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("gain, points")


def _training(axes: Axes, curves: Mapping[str, Curve], styles: Mapping[str, Style]) -> None:
    for variant, curve in curves.items():
        style = styles[variant]
        steps, of_seeds = list(curve), list(curve.values())
        low, high = [min(each) for each in of_seeds], [max(each) for each in of_seeds]
        axes.fill_between(steps, low, high, color=style.light, alpha=0.15, linewidth=0)
        means = [sum(each) / len(each) for each in of_seeds]
        every = 1 if len(steps) < 12 else [len(steps) - 1]  # a few points would not be visible as a line
        axes.plot(
            steps, means, color=style.light, linewidth=1.4, marker=style.marker, markevery=every,
            markeredgecolor=PAPER, markeredgewidth=0.8, label=style.label,
        )  # fmt: skip
    axes.grid(axis="y")
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))


def margins(figure: Figure, top: float, left: float = 0.62) -> None:
    """Fixed margins in inches: matplotlib's automatic layouts cost more time than the drawing."""
    width, height = figure.get_size_inches()
    figure.subplots_adjust(left=left / width, right=1 - 0.12 / width, bottom=0.5 / height, top=1 - top / height)


def _legend(figure: Figure) -> float:
    """A legend across the top; if it needs several lines the figure grows, by the returned number of inches.

    Each variant is in it once: not every panel has all of them.
    """
    named: dict[str, Any] = {}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            named.setdefault(label, handle)
    width, height = figure.get_size_inches()
    fitting = int(width / (0.6 + LETTER * max(map(len, named), default=0)))
    columns = max(1, min(len(named), fitting))
    more = 0.19 * (math.ceil(len(named) / columns) - 1)
    figure.set_size_inches(width, height + more)
    figure.legend([*named.values()], [*named], loc="upper left", ncols=columns, handlelength=2.6)
    return more


def svg(figure: Figure) -> str:
    text = io.StringIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # text stays text: a reader's fonts draw it
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    return text.getvalue()
