"""The main result of a data set, for `dvc metrics show` and `dvc metrics diff`; the rest is in gains.csv.

DVC prints a row per file and a column per key. Each data set has its own file with short keys, so that the table fits a
terminal of 120 columns for any number of data sets.
"""

from collections.abc import Sequence
from typing import Any

from vlkd_steps.reporting.findings import main_rows
from vlkd_steps.reporting.table import Row, shot_order, values


def headline(rows: Sequence[Row], dataset: str, reference: str) -> dict[str, Any]:
    """The best method of a data set against the reference, on its test set at the largest shot.

    Args:
        rows: those of gains.csv, in the grid's order.
        reference: the variant that gains are differences to.

    Returns:
        ``method, shot, best, base, gain, low, high``: means over seeds and, in points, the gain and its 95 % interval,
        to two decimals. `best` is the highest mean of all variants but the reference, `base` the reference's; for a
        task with several metrics, those of the first one. Missing values are left out.
    """
    rows = [row for row in main_rows(rows) if row["dataset"] == dataset]
    largest = max(values(rows, "shot"), key=lambda shot: shot_order(str(shot)))
    rows = [row for row in rows if row["shot"] == largest and row["metric"] == rows[0]["metric"]]
    others = [row for row in rows if row["variant"] != reference]
    best = max(others or rows, key=lambda row: row["mean"])
    base = best["mean"] if not others else best["reference_mean"]
    numbers = {
        "best": best["mean"],
        "base": base,
        "gain": best["gain"],
        "low": best["gain_low"],
        "high": best["gain_high"],
    }
    found = {key: round(number, 2) for key, number in numbers.items() if number is not None}
    return {"method": best.get("label", best["variant"]), "shot": str(best["shot"]), **found}
