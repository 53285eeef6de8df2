"""Claims and their verdicts as Markdown: the tables of `vlkd claims`, and the page that they are written into."""

from collections.abc import Mapping, Sequence

from vlkd_steps.core import markdown
from vlkd_steps.evaluation import summary
from vlkd_steps.evaluation.claims import Row
from vlkd_steps.evaluation.verdicts import HELD, WORDS
from vlkd_steps.reporting.table import Row as Gains
from vlkd_steps.reporting.table import interval, labels, name, points, rounded_p, spread, values

MARK = "<!-- made by vlkd claims: write it again instead of editing it -->"
SHORT = ("claim", "on", "points [95 %]", "p (Holm)", "verdict")
LONG = (
    "claim",
    "on",
    "shots",
    "seeds",
    "points [95 %]",
    "relative",
    "paper",
    "p",
    "corrected p",
    "verdict",
    "experiment",
)


def page(
    rows: Sequence[Row], command: str, results: Mapping[str, Sequence[Gains]], keys: str, notes: Mapping[str, str]
) -> str:
    """The whole page: the primary claims on one screen, then all details.

    Args:
        command: that made it.
        results: the rows of each experiment's `gains.csv`.
        keys: the file beside it that has the keys of the runs.
        notes: what a reader must know of an experiment's results.
    """
    lines = [
        MARK, "", f"# Results of {', '.join(results)}", "",
        "The claims of these presets, declared before the runs where no note says otherwise, and their verdicts. "
        f"Made by `{command}`; docs/protocol.md (Which claims held) says how claims are tested and what the verdicts "
        "mean.", "",
        *(line for name, note in notes.items() for line in (f"Note on {name}: {note}", "")),
        *overview(rows), "",
        "## Details", "",
        "Relative gains are in percent of the reference's result. *paper* is the largest gain that the paper's "
        "abstract states for the task and setting, on other data and students; that it is a relative gain is our "
        "reading. The runs behind each row are listed, by the hash of their inputs and settings, in "
        f"[{keys}]({keys}).", "",
        *details(rows), "",
    ]  # fmt: skip
    for experiment, gains in results.items():
        lines += [f"## Accuracy: {experiment}", "", f"    vlkd run {experiment}", ""]
        lines += [
            "Percent, mean ± sd over seeds, and the gain in points with its 95 % interval over seeds and images.", "",
            *accuracy(gains),
        ]  # fmt: skip
    return "\n".join(lines).rstrip() + "\n"


def overview(rows: Sequence[Row]) -> list[str]:
    """The primary claims, and how many there are of each verdict."""
    primary = [row for row in rows if row.level == "primary"]
    if not primary:
        return ["None of the claims is primary."]
    count = {word: sum(row.verdict == word for row in primary) for word in WORDS}
    counted = ", ".join(f"{number} {word}" for word, number in count.items() if number)
    return [
        "## Primary claims",
        "",
        f"{len(primary)} rows: {counted}.",
        "",
        *markdown.table(SHORT, map(_short, primary)),
    ]


def details(rows: Sequence[Row]) -> list[str]:
    """All claims with all that is known of them, and their notes."""
    lines = markdown.table(LONG, map(_long, rows))
    if any(row.found and row.found.grouped for row in rows):
        lines += [
            "",
            "Where seeds fall into groups, their gains are listed instead of an interval, and "
            "an exact sign-flip test replaces t.",
        ]
    notes = dict.fromkeys(" ".join(f"- {row.text}: {row.note}".split()) for row in rows if row.note)
    return [*lines, *([""] if notes else []), *notes]


def run_keys(rows: Sequence[Row]) -> str:
    """CSV of the keys of the runs behind each row."""
    columns = ("claim", "experiment", "dataset", "student", "evaluation_set")
    return summary.table(
        [
            {column: getattr(row, column) for column in columns} | {"run_keys": " ".join(row.run_keys)}
            for row in rows
            if row.run_keys
        ]
        or [dict.fromkeys((*columns, "run_keys"), "")]
    )


def accuracy(gains: Sequence[Gains]) -> list[str]:
    """A table for each data set and student: a line for each variant and shot, a column for each evaluation set."""
    lines: list[str] = []
    called = labels(gains)
    for dataset, student in dict.fromkeys((row["dataset"], row["student"]) for row in gains):
        mine = [row for row in gains if (row["dataset"], row["student"]) == (dataset, student)]
        sets = values(mine, "evaluation_set")
        cells = {(row["variant"], row["shot"], row["evaluation_set"]): _accuracy(row) for row in mine}
        body = [
            [called[variant], shot, *(cells.get((variant, shot, each), "") for each in sets)]
            for variant, shot in dict.fromkeys((row["variant"], row["shot"]) for row in mine)
        ]
        lines += [f"**{dataset}** ({student})", "", *markdown.table(["", "shot", *map(name, sets)], body), ""]
    return lines


def _accuracy(row: Gains) -> str:
    return spread(row) if row["gain"] is None else f"{spread(row)}, {points(row['gain'])} {interval(row)}"


def _short(row: Row) -> list[str]:
    where = " ".join(filter(None, (row.dataset, row.evaluation_set if row.evaluation_set != "test" else "")))
    return [row.text, where, _points(row), _p(row.p_adjusted), _verdict(row)]


def _long(row: Row) -> list[str]:
    where = " ".join(filter(None, (row.dataset, row.student, row.evaluation_set)))
    relative = "" if row.relative is None else f"{points(row.relative)} %"
    stated = "" if row.stated is None else f"{row.stated:+g} %"
    numbers = [_points(row), relative, stated, _p(row.p), _p(row.p_adjusted)]
    return [
        f"{row.text} ({row.level})", where, " ".join(row.shots), f"{len(row.seeds)}", *numbers, _verdict(row),
        row.experiment,
    ]  # fmt: skip


def _points(row: Row) -> str:
    if row.found is None:
        return ""
    gain = f"{points(row.found.gain)} %" if row.per_cent else points(row.found.gain)
    if row.found.grouped:
        return f"{gain}; seeds {' '.join(map(points, row.found.of_seeds))}"
    if row.found.low is None or row.found.high is None:
        return gain
    low, high = points(row.found.low, signed=False), points(row.found.high, signed=False)
    return f"{gain} [{low}, {high}]"


def _p(p: float | None) -> str:
    return "" if p is None else rounded_p(p, 2, "g")


def _verdict(row: Row) -> str:
    word = f"**{row.verdict}**" if row.verdict == HELD else row.verdict
    return f"{word}: {row.reason}" if row.reason else word
