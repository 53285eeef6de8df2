"""Sweeps in the report: the metric over the values on dev and test, and a row for each member."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from vlkd_steps.config import member_names
from vlkd_steps.reporting import figures, sweep_figures
from vlkd_steps.reporting.findings import main_set
from vlkd_steps.reporting.style import Style
from vlkd_steps.reporting.table import Row, name, spread, training, values

Members = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Panel:
    """A figure with its title and its description in words."""

    title: str
    beside: str
    drawn: str
    alt: str


@dataclass(frozen=True)
class Swept:
    """A swept variant on one data set with one student.

    Attributes:
        rows: for each member, its values as text and, for each column, its result and whether that is the best.
    """

    variant: str
    dataset: str
    student: str
    panels: list[Panel]
    keys: list[str]
    columns: list[str]
    rows: list[tuple[list[str], list[tuple[str, bool]]]]


def tables(rows: Sequence[Row], members: Members, styles: Mapping[str, Style]) -> list[Swept]:
    """Every swept variant, data set and student.

    Args:
        rows: those of `gains.csv`.
        members: by name, ``variant, values`` of each member in the grid.
    """
    mine = [row for row in rows if row["variant"] in members]
    places: dict[tuple[str, str, str], list[Row]] = {}
    for row in mine:
        place = members[row["variant"]]["variant"], row["dataset"], row["student"]
        places.setdefault(place, []).append(row)
    return [_swept(of_place, place, members, styles) for place, of_place in places.items()]


def chosen(rows: Sequence[Row], members: Members) -> set[str]:
    """The member of each swept variant that is best on dev, or all its members where dev cannot tell.

    Means are of the tasks' main metrics, over the data sets, students and shots that all of them have, as `vlkd tune`
    has it.
    """
    found: set[str] = set()
    on_dev = [row for row in rows if row["evaluation_set"] == "dev" and row["main"]]
    for variant in dict.fromkeys(member["variant"] for member in members.values()):
        mine = {name for name, member in members.items() if member["variant"] == variant}
        found |= _best([row for row in on_dev if row["variant"] in mine]) or mine
    return found


def _best(rows: Sequence[Row]) -> set[str]:
    """The variant with the largest mean over the places that all have; none if there is no such place."""
    means: dict[str, dict[tuple[str, ...], float]] = {}
    for row in rows:
        means.setdefault(row["variant"], {})[row["dataset"], row["student"], row["shot"]] = row["mean"]
    shared = set.intersection(*map(set, means.values())) if means else set()
    return {max(means, key=lambda name: fmean(means[name][place] for place in shared))} if shared else set()


def _swept(rows: Sequence[Row], place: tuple[str, str, str], members: Members, styles: Mapping[str, Style]) -> Swept:
    shown = [each for each in dict.fromkeys(("dev", main_set(rows))) if each in values(rows, "evaluation_set")]
    names, shots = values(rows, "variant"), values(rows, "shot")
    keys = list(members[names[0]]["values"])
    style = next((styles[each] for each in names if styles[each].dash != "--"), styles[names[0]])
    panels: list[Panel] = []
    for evaluation_set in shown:
        part = [row for row in rows if row["evaluation_set"] == evaluation_set]
        if len(keys) == 2:
            panels += [_map([row for row in part if row["shot"] == shot], members, keys, style) for shot in shots]
        else:
            panels += [_curves(part, members, key, style, alone=len(keys) == 1) for key in keys]
    prefix = re.sub(r"[^\w-]+", "-", "-".join(("s", *place)), flags=re.ASCII)
    panels = [
        Panel(each.title, each.beside, figures.inline(each.drawn, styles, f"{prefix}-{number}"), each.alt)
        for number, each in enumerate(panels)
    ]
    cells = {(row["variant"], row["evaluation_set"], row["shot"]): row for row in rows}
    columns = [(evaluation_set, shot) for evaluation_set in shown for shot in shots]
    best = {
        column: max((cells[each, *column]["mean"] for each in names if (each, *column) in cells), default=None)
        for column in columns
    }
    listed = [
        (
            [member_names.text(value) for value in members[each]["values"].values()],
            [_cell(cells.get((each, *column)), best[column]) for column in columns],
        )
        for each in names
    ]
    titles = [f"{name(evaluation_set)}, {shot}" for evaluation_set, shot in columns]
    return Swept(*place, panels, keys, titles, listed)


def _cell(row: Row | None, best: float | None) -> tuple[str, bool]:
    return ("", False) if row is None else (spread(row), row["mean"] == best)


def _curves(rows: Sequence[Row], members: Members, key: str, style: Style, alone: bool) -> Panel:
    """The metric over one key, at the best values of the other swept keys."""
    tried = _values(rows, members, key)
    of_shots: dict[str, dict[int, tuple[float, float | None]]] = {}
    for shot in values(rows, "shot"):
        for number, value in enumerate(tried):
            there = [row for row in rows if row["shot"] == shot and members[row["variant"]]["values"][key] == value]
            if there:
                best = max(there, key=lambda row: row["mean"])
                of_shots.setdefault(shot, {})[number] = best["mean"], best["sd"]
    said = "; ".join(
        f"at {shot}: " + ", ".join(f"{mean:.1f} with {member_names.text(tried[n])}" for n, (mean, _) in means.items())
        for shot, means in of_shots.items()
    )
    where = name(rows[0]["evaluation_set"])
    beside = "" if alone else "the other keys at their best"
    drawn = sweep_figures.curves(tried, of_shots, key, style)
    return Panel(f"{where}: {key}", beside, drawn, f"{where} over {key}, {said}.")


def _map(rows: Sequence[Row], members: Members, keys: Sequence[str], style: Style) -> Panel:
    """The metric over two keys at one shot."""
    first, second = (_values(rows, members, key) for key in keys)
    means = {
        (first.index(of[keys[0]]), second.index(of[keys[1]])): row["mean"]
        for row in rows
        for of in [members[row["variant"]]["values"]]
    }
    said = "; ".join(
        f"{mean:.1f} with {keys[0]} {member_names.text(first[row])} and {keys[1]} {member_names.text(second[column])}"
        for (row, column), mean in means.items()
    )
    where = name(rows[0]["evaluation_set"])
    drawn = sweep_figures.heat_map((first, second), means, keys, style)
    return Panel(where, training(rows[0]["shot"], rows[0]["unit"]), drawn, f"{where}, {said}.")


def _values(rows: Sequence[Row], members: Members, key: str) -> list[Any]:
    """The values of a key, numbers by size and others in the order of the sweep."""
    found: list[Any] = []
    for row in rows:
        value = members[row["variant"]]["values"][key]
        if value not in found:
            found.append(value)
    return sorted(found) if all(type(value) in (int, float) for value in found) else found
