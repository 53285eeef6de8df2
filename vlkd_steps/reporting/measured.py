"""The page's tables of extra evaluations other than accuracies: measures, and the effect of a question's wording."""

import re
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from vlkd_steps import tasks
from vlkd_steps.config import extra_evals
from vlkd_steps.evaluation.tables import read
from vlkd_steps.tasks import ACCURACY, Metric

Table = dict[str, Any]
Key = tuple[str, str]
"""What a row is of: the variant; student and shot in words, as far as they differ in the table."""


def tables(summary: Path, datasets: Sequence[Mapping[str, Any]]) -> list[Table]:
    """Tables ``{dataset, title, columns, rows}``; a row is ``(variant, of, cells)``, a cell the mean over seeds or
    empty. ``of`` has student and shot where several are in the table, else nothing.

    Args:
        summary: `summary.csv` of the experiment.
        datasets: those whose runs have extra evaluations, as in `compare`'s configuration.
    """
    if not datasets:
        return []
    found = read(summary)
    tables = []
    for dataset in datasets:
        mine = found.filter(pl.col("dataset") == dataset["name"])
        for name in extra_evals.measures(dataset):
            tables += _measure(dataset["name"], name, mine.filter(pl.col("evaluation_set") == name))
        tables += _wordings(dataset, mine)
    return tables


def _measure(dataset: str, name: str, rows: pl.DataFrame) -> list[Table]:
    """One measure: a column for each of its numbers."""
    if rows.is_empty():
        return []
    columns = sorted(set(rows["metric"]), key=_by_number)
    means = _means(rows, "metric")
    return [{"dataset": dataset, "title": name, "columns": columns, "rows": _cells(means, columns)}]


def _by_number(name: str) -> list[Any]:
    """Sorts R@5 before R@10."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)]


def _wordings(dataset: Mapping[str, Any], rows: pl.DataFrame) -> list[Table]:
    """The accuracies of one set of questions under several wordings, and their mean and spread."""
    groups: dict[tuple[Any, ...], dict[str, str]] = {}
    for evaluation in extra_evals.sets(dataset):
        if evaluation.how.get("prompt") and Metric(ACCURACY) in tasks.load(evaluation.task).compared_by:
            same = (evaluation.dataset, evaluation.evaluation_set, evaluation.how.get("images"))
            groups.setdefault(same, {})[evaluation.name] = evaluation.how["prompt"]
    found = []
    for (_, of_set, _), prompts in groups.items():
        part = rows.filter(pl.col("evaluation_set").is_in(list(prompts)) & (pl.col("metric") == ACCURACY))
        if len(prompts) < 2 or part.is_empty():
            continue
        means = _means(part, "evaluation_set")
        cells = []
        for variant, of, texts in _cells(means, list(prompts)):
            mine = means[variant, of]
            values = [mine[name] for name in prompts if name in mine]
            together = (statistics.mean(values), statistics.stdev(values)) if len(values) > 1 else ()
            cells.append((variant, of, [*texts, *(f"{value:.1f}" for value in together)]))
        title = f"wordings of the questions of {of_set}, accuracy"
        columns = [*prompts.values(), "mean", "sd over wordings"]
        found.append({"dataset": dataset["name"], "title": title, "columns": columns, "rows": cells})
    return found


def _means(rows: pl.DataFrame, column: str) -> dict[Key, dict[str, float]]:
    """Row -> value of `column` -> mean over seeds, in the order of the rows."""
    varying = [name for name in ("student", "shot") if rows[name].n_unique() > 1]
    found: dict[Key, dict[str, float]] = {}
    grouped = rows.group_by("variant", "student", "shot", column, maintain_order=True).agg(pl.col("value").mean())
    for row in grouped.iter_rows(named=True):
        of = ", ".join(f"shot {row[name]}" if name == "shot" else row[name] for name in varying)
        found.setdefault((row["variant"], of), {})[row[column]] = row["value"]
    return found


def _cells(means: Mapping[Key, Mapping[str, float]], columns: Sequence[str]) -> list[tuple[str, str, list[str]]]:
    """Cells with more decimals for losses, of a nat or two, than for percentages."""
    return [
        (*key, [_text(values[column], column) if column in values else "" for column in columns])
        for key, values in means.items()
    ]


def _text(value: float, column: str) -> str:
    return f"{value:.3f}" if column == "infilling" else f"{value:.1f}"
