"""A plan as text."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

WIDTH = 140


def page(plan: Mapping[str, Any]) -> str:
    """The plan as text of at most `WIDTH` columns."""
    console = Console(file=io.StringIO(), width=WIDTH, highlight=False, markup=False, color_system=None)
    runs, totals = plan["runs"], plan["totals"]
    counts = ", ".join(f"{rule} {count}" for rule, count in plan["jobs"].items()) or "none: everything is done"
    console.print(f"{plan['experiment']}: {runs['to_train']} of {runs['of_the_experiment']} runs to train")
    console.print(f"jobs      {counts}")
    for entry in plan["sources"]:
        console.print(f"data      {_source(entry)}")
    for message in plan["put_in_place"]:
        console.print(f"data      MISSING. {message}")
    for entry in plan["weights"]:
        console.print(f"weights   {entry['model']} ({entry['weights']}): {gigabytes(entry['gb'])} ({entry['from']})")
    if plan["disk"]:
        folders = [(entry["folder"], gigabytes(entry["gb"]), entry["from"]) for entry in plan["disk"]]
        console.print(_table(("disk", "adds", "from"), folders))
        known = sum(entry["gb"] or 0.0 for entry in plan["disk"])
        more = " and what is not known" if any(entry["gb"] is None for entry in plan["disk"]) else ""
        console.print(f"together  {gigabytes(known)}{more}; {gigabytes(plan['disk_free_gb'])} are free here")
    if plan["cost"]:
        rows = [
            (row["step"], row["what"], f"{row['count']}", _hours(row), _operations(row["operations"]), row["from"])
            for row in plan["cost"]
        ]
        console.print(_table(("step", "of", "jobs or runs", "hours", "operations", "from"), rows))
        console.print(f"together  {_total(totals)}")
    return console.file.getvalue().rstrip()  # type: ignore[attr-defined]


def gigabytes(value: float | None) -> str:
    """``1.2 GB``, ``35 MB``, ``not known``."""
    if value is None:
        return "not known"
    if value == 0:
        return "0"
    return f"{value:,.1f} GB" if value >= 1 else f"{1000 * value:,.3g} MB"


def _source(entry: Mapping[str, Any]) -> str:
    name = entry["source"]
    if entry["missing"]:
        return f"{name}: MISSING. {entry['missing']}"
    if entry["kind"] == "local":
        return f"{name}: your own files, {gigabytes(entry['gb'])} ({entry['from']})"
    if entry["kind"] == "scenes":
        return f"{name}: generated here, nothing is fetched"
    hosts = f" from {', '.join(entry['hosts'])}" if entry.get("hosts") else ""
    return f"{name}: to download{hosts}, {gigabytes(entry['gb'])} ({entry['from']})"


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(box=box.ASCII2, show_edge=False, pad_edge=False)
    for column in columns:
        right = column in ("adds", "hours", "jobs or runs", "operations")
        table.add_column(column, justify="right" if right else "left", no_wrap=column in ("adds", "hours", "step"))
    for row in rows:
        table.add_row(*row)
    return table


def _hours(row: Mapping[str, Any]) -> str:
    return "not known" if row["hours"] is None else f"{row['hours']:,.3g} {'GPU' if row['gpu'] else 'core'}"


def _operations(value: float | None) -> str:
    return "not known" if value is None else "-" if not value else f"{value:.1e}"


def _total(totals: Mapping[str, Any]) -> str:
    parts = [f"{totals['gpu_hours']:,.3g} GPU-hours"] if totals["gpu_hours"] else []
    if totals["core_hours"]:
        wall = 60 * totals["core_hours"] / totals["cores"]
        cores = f"{totals['cores']} jobs at once"
        parts.append(f"{totals['core_hours']:,.3g} core-hours (about {wall:,.0f} minutes with {cores}, on idle cores)")
    if totals["not_known"]:
        known = "BART is not modelled; other models or data have no known size before their files are here"
        unknown = "name a device (--gpu or --tflops), or run one of this kind first"
        parts.append(
            f"trainings and extractions of unknown length: {totals['not_known']} ("
            + (known if totals["device"] else unknown)
            + ")"
        )
    if totals["light_not_known"]:
        parts.append(f"light jobs that have never run here: {totals['light_not_known']}")
    return "; ".join(parts) or "nothing"
