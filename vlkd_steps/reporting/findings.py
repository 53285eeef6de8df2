"""The findings of an experiment, one sentence per variant."""

from collections.abc import Sequence
from dataclasses import dataclass

from vlkd_steps.config.models.claim import SEEDS
from vlkd_steps.evaluation.verdicts import WORDS, RowTest, verdicts
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
    """A variant against the reference on the main evaluation set of every data set and shot.

    In accuracy or, where nothing has one, in the task's metric.
    """

    variant: str
    title: str
    detail: str
    mean_gain: float


def main_set(rows: Sequence[Row]) -> str:
    """``test`` if there is one, else the first evaluation set."""
    sets = values(rows, "evaluation_set")
    return "test" if "test" in sets else sets[0]


def main_rows(rows: Sequence[Row]) -> list[Row]:
    """The rows of each data set's main set."""
    on = {each: main_set([row for row in rows if row["dataset"] == each]) for each in values(rows, "dataset")}
    return [row for row in rows if row["evaluation_set"] == on[row["dataset"]]]


def findings(rows: Sequence[Row], reference: str) -> list[Finding]:
    """One finding for each compared variant, the largest mean gain first."""
    others = no_percentages(rows)
    called = labels(rows)
    compared = [row for row in main_rows(rows) if row["gain"] is not None]
    rows = [row for row in compared if row.get("metric") not in others] or compared
    words = _judged(rows)
    found = []
    for variant in values(rows, "variant"):
        mine = [(row, word) for row, word in zip(rows, words, strict=True) if row["variant"] == variant]
        of_variant = [row for row, _ in mine], [word for _, word in mine]
        found.append(_finding(*of_variant, called[variant], called.get(reference, reference)))
    return sorted(found, key=lambda finding: (-finding.mean_gain, finding.variant))


def _judged(rows: Sequence[Row]) -> list[str]:
    """The verdict on each gain as if it were claimed: as secondary claims, corrected over all of them."""
    tests = []
    for row in rows:
        p = row["p"] if len(row["seeds"].split()) >= SEEDS else None
        tests.append(RowTest(False, p, p, row["gain"] > 0))
    return [word for word, _ in verdicts(tests)]


def _finding(rows: Sequence[Row], words: Sequence[str], variant: str, reference: str) -> Finding:
    on = " and ".join(name(each) for each in values(rows, "evaluation_set"))
    better = sum(sure(row) > 0 for row in rows)
    worse = sum(sure(row) < 0 for row in rows)
    low, high = min(row["gain"] for row in rows), max(row["gain"] for row in rows)
    unit = " ".join([*no_percentages(rows), "points"])  # CIDEr points
    between = f"{points(low)} to {points(high)} {unit}" if low != high else f"{points(low)} {unit}"
    if better == len(rows):
        title = f"{variant} gains {between} over {reference}"
    elif better > worse:
        title = f"{variant} gains over {reference} in {better} of {len(rows)} comparisons: {between}"
    elif worse > better:
        often = f" in {worse} of {len(rows)} comparisons" if len(rows) > 1 else ""
        title = f"{variant} loses against {reference}{often}: {between}"
    else:
        title = f"{variant} and {reference}: not decided ({between})"
    enough = any(len(row["seeds"].split()) >= SEEDS for row in rows)
    counted = words[0] if len(words) == 1 else ", ".join(f"{words.count(w)} {w}" for w in WORDS if w in words)
    judged = counted if enough else f"a verdict takes {SEEDS} seeds"
    best = max(rows, key=lambda row: row["gain"])
    where = f"{points(best['gain'])} {interval(best)} on {best['dataset']} at {training(best['shot'], best['unit'])}"
    if len(rows) == 1:
        detail = f"On {on}: {where}; {judged}."
    else:
        below = f" and below 0 in {worse}" if worse else ""
        extreme = "Largest gain" if best["gain"] > 0 else "Smallest loss"
        detail = (
            f"On {on} the gain is significantly above 0 (5 %) in {better} of {len(rows)} comparisons{below}; {judged}. "
            f"{extreme}: {where}."
        )
    if few := few_seeds(best):
        detail += f" Intervals over {few} are wide because the seeds are so few."
    return Finding(rows[0]["variant"], title, detail, sum(row["gain"] for row in rows) / len(rows))
