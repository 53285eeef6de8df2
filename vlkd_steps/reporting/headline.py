"""The result of one data set in a few numbers, for `dvc metrics show` and `dvc metrics diff`; the rest is in gains.csv.

DVC prints a line a file and a column a key, so each data set has its own file and the keys are short: the table
then fits a terminal of 120 columns, however many data sets there are.
"""

from collections.abc import Sequence
from typing import Any

from vlkd_steps.reporting.findings import main_rows
from vlkd_steps.reporting.table import Row


def headline(rows: Sequence[Row], dataset: str, reference: str) -> dict[str, Any]:
    """The best method of a data set against the reference, on its test set at the grid's last shot.

    Args:
        rows: those of gains.csv, in the grid's order.
        reference: the variant that gains are differences to.

    Returns:
        ``method, shot, best, base, gain, low, high``: means over seeds and, in points, the gain and its 95 % interval,
        to two decimals. `best` is the highest mean of all variants but the reference, `base` the reference's; of a task
        with several metrics, of the first one. What is not available is left out.
    """
    rows = [row for row in main_rows(rows) if row["dataset"] == dataset]
    rows = [row for row in rows if row["shot"] == rows[-1]["shot"] and row["metric"] == rows[0]["metric"]]
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
