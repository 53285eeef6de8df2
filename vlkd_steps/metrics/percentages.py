"""Means of item scores as the percentages that tables print."""

import polars as pl


def percent(scores: pl.Series) -> float:
    """100 times the mean, to two decimals (as the official VQA evaluator rounds)."""
    return round(100 * sum(scores) / len(scores), 2)


def by(table: pl.DataFrame, column: str) -> dict[str, float]:
    """`percent` of the column `score` within each value of `column`, sorted by that value."""
    return {str(value): percent(part["score"]) for (value,), part in sorted(table.group_by(column), key=_first)}


def macro(table: pl.DataFrame, column: str) -> float:
    """`percent` of the means of the column `score` within each value of `column`, which are not rounded before."""
    return percent(table.group_by(column).agg(pl.col("score").mean()).sort(column)["score"])


def _first(pair: tuple[tuple[object, ...], pl.DataFrame]) -> str:
    return str(pair[0][0])
