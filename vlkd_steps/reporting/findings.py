"""What an experiment shows, in one sentence per variant."""

from collections.abc import Sequence
from dataclasses import dataclass

from vlkd_steps.reporting.table import (
    Row,
    few_seeds,
    interval,
    labels,
    name,
    no_percentages,
    points,
    sure,
    training,
    values,
)


@dataclass(frozen=True)
class Finding:
    """How a variant does against the reference on the main evaluation set of every data set and shot, in accuracy."""

    variant: str
    title: str
    detail: str
    mean_gain: float


def main_set(rows: Sequence[Row]) -> str:
    """``test`` where there is one, else the first evaluation set."""
    sets = values(rows, "evaluation_set")
    return "test" if "test" in sets else sets[0]


def main_rows(rows: Sequence[Row]) -> list[Row]:
    """The rows of the main set and, of data sets that have none, of their first one."""
    first: dict[str, str] = {}
    for row in rows:
        first.setdefault(row["dataset"], row["evaluation_set"])
    on = main_set(rows)
    have = {row["dataset"] for row in rows if row["evaluation_set"] == on}
    return [r for r in rows if r["evaluation_set"] == (on if r["dataset"] in have else first[r["dataset"]])]


def findings(rows: Sequence[Row], reference: str) -> list[Finding]:
    """One finding for each compared variant, the largest mean gain first."""
    left_out = no_percentages(rows)
    called = labels(rows)
    rows = [row for row in main_rows(rows) if row["gain"] is not None and row.get("metric") not in left_out]
    found = [
        _finding([row for row in rows if row["variant"] == variant], called[variant], called.get(reference, reference))
        for variant in values(rows, "variant")
    ]
    return sorted(found, key=lambda finding: (-finding.mean_gain, finding.variant))


def _finding(rows: Sequence[Row], variant: str, reference: str) -> Finding:
    on = " and ".join(name(each) for each in values(rows, "evaluation_set"))
    better = sum(sure(row) > 0 for row in rows)
    worse = sum(sure(row) < 0 for row in rows)
    low, high = min(row["gain"] for row in rows), max(row["gain"] for row in rows)
    between = f"{points(low)} to {points(high)} points" if low != high else f"{points(low)} points"
    if better and not worse and low > 0:
        title = f"{variant} gains {between} over {reference}"
    elif better > worse:
        title = f"{variant} mostly gains over {reference}: {between}"
    elif worse > better:
        title = f"{variant} loses against {reference}: {between}"
    else:
        title = f"{variant} and {reference}: no sure difference ({between})"
    best = max(rows, key=lambda row: row["gain"])
    held = sum(row["p_holm"] is not None and row["p_holm"] < 0.05 for row in rows)
    detail = (
        f"On {on} the 95 % interval lies above 0 in {better} of {len(rows)} comparisons"
        + (f" and below 0 in {worse}" if worse else "")
        + (f"; p < 0.05 after Holm's correction over the whole table in {held}. " if better or worse else ". ")
        + f"Largest: {points(best['gain'])} {interval(best)} "
        f"on {best['dataset']} at {training(best['shot'], best['unit'])}."
        + (f" Intervals of {few_seeds(best)} are wide for that reason." if few_seeds(best) else "")
    )
    return Finding(rows[0]["variant"], title, detail, sum(row["gain"] for row in rows) / len(rows))
