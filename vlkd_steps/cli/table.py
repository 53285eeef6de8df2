"""Print an experiment's results: ``vlkd table scenes``.

One table per data set, on its test set (without one, on the first evaluation set of its runs): accuracy as mean +- sd
over seeds and, below it, the gain over the reference with its 95 % interval; a star marks intervals that exclude 0.
The numbers are those of `gains.csv`.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text
from typer import Argument, Option

from vlkd_steps.cli import command
from vlkd_steps.config import composition
from vlkd_steps.core import layout
from vlkd_steps.core.did_you_mean import nearest
from vlkd_steps.core.errors import UserError
from vlkd_steps.evaluation.tables import making
from vlkd_steps.reporting.findings import main_rows
from vlkd_steps.reporting.table import (
    Row,
    few_seeds,
    interval,
    keeping_teacher,
    labels,
    learned,
    name,
    no_percentages,
    points,
    read,
    spread,
    sure,
    values,
)

NARROWEST = 80  # columns, also if the terminal's width is unknown
SHOT_COLUMN = 23  # "* +11.7 [10.7, 12.8]" and the frame


@command.single("table", __doc__, cls=command.Named)
def main(
    experiment: Annotated[str, Argument(help="its name, as in params.yaml", callback=command.experiment)],
    evaluation_set: Annotated[str | None, Option("--set", help="the evaluation set; default: test")] = None,
) -> None:
    composition.use_plugins()
    path = layout.results(experiment) / "gains.csv"
    if not path.is_file():
        check_name(experiment, path)
    rows = read(path)
    if not rows:
        raise UserError(f"{path} has no rows; make it again: {making(path)}")
    if evaluation_set and evaluation_set not in (sets := values(rows, "evaluation_set")):
        known = ", ".join(sets)
        raise UserError(f"--set {evaluation_set}: {path} has no such evaluation set; it has {known}")
    console = Console(highlight=False, soft_wrap=False, markup=False)
    if console.width < NARROWEST:
        console = Console(highlight=False, width=NARROWEST, markup=False)
    shown = [row for row in rows if row["evaluation_set"] == evaluation_set] if evaluation_set else main_rows(rows)
    for title, table in tables(shown, console.width):
        console.print()
        console.print(Text(title, "bold"), soft_wrap=True)
        console.print(table)
    console.print()
    console.print("accuracy in %, mean +- sd over seeds; below: gain in points [95 % interval over seeds and images]")
    console.print("a shot is the number of training items: questions, hypotheses, annotations or captions")
    for metric in sorted(no_percentages(shown)):
        console.print(f"{metric} is multiplied by 100 and is not a percentage")
    starred = [row for row in shown if row["gain"] is not None and sure(row)]
    if any(not row.get("grouped") for row in starred):
        console.print("* the interval excludes 0")
    if any(map(learned, shown)):
        console.print("learned k of n seeds: the others are no better than the commonest answer to every item (at 1 %)")
    if any(row.get("grouped") for row in shown):
        console.print(
            "seeds in groups: t does not describe such seeds, so there is no interval; gains.csv has p, by signs"
        )
        if any(row.get("grouped") for row in starred):
            console.print("* of seeds in groups: p is below 5 %")
    few = sorted({few_seeds(row) for row in shown} - {""})
    if few:
        console.print(f"intervals over {' and over '.join(few)} are wide because the seeds are so few")
    if keeping := [labels(rows)[variant] for variant in keeping_teacher(rows)]:
        verb = "keeps its" if len(keeping) == 1 else "keep their"
        console.print(f"{', '.join(keeping)} {verb} teacher at inference; no other method adds anything there")
    others = [name(other) for other in values(rows, "evaluation_set") if other not in values(shown, "evaluation_set")]
    if others:
        console.print(f"other evaluation sets, in the report: {', '.join(others)}")
    console.print()
    console.print(f"look at   {path.with_name('report.html')}", soft_wrap=True)
    console.print("curves    vlkd ui   (MLflow: every run, its curves and parameters)")


def check_name(experiment: str, path: Path) -> None:
    """Refuse a name for which no table could be made, or whose nearest has one.

    Raises:
        UserError: it is such a one.
    """
    finished = [each.parent.name for each in path.parent.parent.glob("*/gains.csv")]
    if near := nearest(experiment, finished, " ").strip():
        raise UserError(f"{path} does not exist; {near}")
    if experiment not in (known := composition.presets()):
        raise UserError(f"there is no experiment {experiment!r}; {nearest(experiment, known)}")


def tables(rows: Sequence[Row], width: int) -> list[tuple[str, Table]]:
    """Titles and tables, method x shot, of each data set and student; shots that do not fit are in further tables."""
    found = []
    fitting = max(1, (width - max(map(len, labels(rows).values()))) // SHOT_COLUMN)
    for dataset, student in dict.fromkeys((row["dataset"], row["student"]) for row in rows):
        mine = [row for row in rows if (row["dataset"], row["student"]) == (dataset, student)]
        shots = values(mine, "shot")
        across = math.ceil(len(shots) / math.ceil(len(shots) / fitting))
        title = f"{dataset} ({student}), {name(mine[0]['evaluation_set'])}"
        found += [(title, _table(mine, shots[first : first + across])) for first in range(0, len(shots), across)]
    return found


def _table(rows: Sequence[Row], shots: Sequence[str]) -> Table:
    table = Table(box=box.ASCII2, show_edge=False, pad_edge=False, show_lines=True)
    table.add_column("shot", no_wrap=True)
    for shot in shots:
        table.add_column(shot, justify="right", no_wrap=True)
    places = {(row["variant"], row["shot"]): row for row in rows}
    called = labels(rows)
    for variant in values(rows, "variant"):
        table.add_row(Text(called[variant]), *(_cell(places.get((variant, shot))) for shot in shots))
    return table


def _cell(row: Row | None) -> Text:
    if row is None:
        return Text("")
    accuracy, seeds = plain(spread(row)), f"\n{learned(row)}" if learned(row) else ""
    if row["gain"] is None:
        return Text(accuracy + seeds)
    star = "* " if sure(row) else ""
    style = {1: "green", -1: "red", 0: ""}[sure(row)]
    gain = plain(f"{points(row['gain'])} {interval(row)}")
    return Text.assemble(accuracy, "\n", (f"{star}{gain}", style), seeds)


def plain(text: str) -> str:
    """ASCII signs, which every terminal shows."""
    return text.replace("−", "-").replace("±", "+-").replace("–", "-")


if __name__ == "__main__":
    raise SystemExit(main())
