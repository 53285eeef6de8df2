"""Any linear combination of runs with one interval: means over shots, slopes over shots, a method against any other.

With D[s, g] replaced by sum_k c_k A_k[s, g], where A_k are the accuracies of the runs of one variant and shot, the
two-way interval (`significance.two_way`) holds for the combination as it does for a difference: the variance that all
terms share through a seed or an image is counted once.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vlkd_steps import tasks
from vlkd_steps.core.errors import UserError
from vlkd_steps.evaluation.gains import of_groups
from vlkd_steps.evaluation.scores import Scores
from vlkd_steps.evaluation.significance import Gain, by_image, over_seeds, two_way

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Term:
    """A coefficient and the runs that it multiplies."""

    coefficient: float
    variant: str
    shot: str


@dataclass(frozen=True)
class Contrast:
    """A combination of accuracies, in percentage points.

    Attributes:
        found: its value, interval and p.
        seeds: those that all its runs have.
        base: mean accuracy of the runs with negative coefficients, what a relative gain refers to.
        run_keys: of all its runs, sorted.
    """

    found: Gain
    seeds: list[int]
    base: float
    run_keys: list[str]


class Evidence:
    """The scored runs of one experiment.

    Args:
        experiment: its name.
        summary: rows of `summary.csv`, with the columns dataset, student, variant, shot, seed, evaluation_set, metric,
            run_key.
    """

    def __init__(self, experiment: str, summary: Sequence[Row]) -> None:
        self.experiment = experiment
        self.rows: list[Row] = [{**row, "shot": str(row["shot"]), "seed": int(row["seed"])} for row in summary]
        self._scores: dict[tuple[str, str], Scores] = {}

    def values(self, column: str, **wanted: str | int) -> list[Any]:
        """The distinct values of a column where the others are as wanted, in order of appearance."""
        mine = (row for row in self.rows if all(row[key] == value for key, value in wanted.items()))
        return list(dict.fromkeys(row[column] for row in mine))

    def label(self, variant: str) -> str:
        """A variant's name for people."""
        return next((row.get("label") or variant for row in self.rows if row["variant"] == variant), variant)

    def lacking(self, dataset: str, student: str, evaluation_set: str, terms: Sequence[Term]) -> str:
        """Which runs of a combination there are none of, in words; empty where there are all."""
        place = {"dataset": dataset, "student": student, "evaluation_set": evaluation_set}
        for term in terms:
            if not any(_is(row, place | {"variant": term.variant, "shot": term.shot}) for row in self.rows):
                return f"no runs of {self.label(term.variant)} at {term.shot}"
        return ""

    def contrast(self, dataset: str, student: str, evaluation_set: str, terms: Sequence[Term]) -> Contrast | None:
        """The combination over the seeds that all its runs have; None where they have none in common.

        Raises:
            UserError: a run was not evaluated, or on other items than the others.
        """
        place = {"dataset": dataset, "student": student, "evaluation_set": evaluation_set}
        runs, seeds = self._runs(place, terms)
        if not seeds:
            return None
        scores = self._scores.setdefault((dataset, evaluation_set), Scores(self.experiment, evaluation_set))
        read = [np.stack([scores(of_term[seed]) for seed in seeds]) for of_term in runs]  # each [S, N]
        total = sum(term.coefficient * values for term, values in zip(terms, read, strict=True))
        differences, items = by_image(np.asarray(total), scores.images())
        base = [float(v.mean()) for term, v in zip(terms, read, strict=True) if term.coefficient < 0]
        keys = sorted({str(of_term[seed]["run_key"]) for of_term in runs for seed in seeds})
        metric = tasks.metrics()[self.values("metric", dataset=dataset, evaluation_set=evaluation_set)[0]]
        found = two_way(differences, items, of_groups(metric))
        return Contrast(found, seeds, float(np.mean(base)), keys)

    def measured(self, dataset: str, student: str, measure: str, metric: str, terms: Sequence[Term]) -> Contrast | None:
        """The difference of a measure's number in percent of the reference's, the mean over shots.

        None where the runs have no seed in common; the interval is over seeds alone.

        Args:
            terms: a method and its reference at each shot (`mean_gain`).

        Raises:
            UserError: the measure has no such number, or the reference's is 0.
        """
        there = self.values("metric", dataset=dataset, evaluation_set=measure)
        if metric not in there:
            raise UserError(f"{self.experiment}: {measure} has no number {metric!r}; it has {', '.join(there)}")
        place = {"dataset": dataset, "student": student, "evaluation_set": measure, "metric": metric}
        runs, seeds = self._runs(place, terms)
        if not seeds:
            return None
        values = np.array([[float(of_term[seed]["value"]) for seed in seeds] for of_term in runs])  # [K, S]
        base = {term.shot: row for term, row in zip(terms, values, strict=True) if term.coefficient < 0}
        if not all((row > 0).all() for row in base.values()):
            raise UserError(
                f"{self.experiment}: {metric} of {measure} is 0 in a run of the reference, so there is no difference "
                "in percent of it; claim something about another number"
            )
        keys = sorted({str(of_term[seed]["run_key"]) for of_term in runs for seed in seeds})
        parts = [term.coefficient * row / base[term.shot] for term, row in zip(terms, values, strict=True)]
        found = over_seeds(100 * np.sum(parts, axis=0), None)
        return Contrast(found, seeds, float(np.mean(list(base.values()))), keys)

    def _runs(self, place: Mapping[str, str], terms: Sequence[Term]) -> tuple[list[dict[int, Row]], list[int]]:
        """The rows of each term by seed, and the seeds that all terms have."""
        runs = [
            {
                int(row["seed"]): row
                for row in self.rows
                if _is(row, {**place, "variant": term.variant, "shot": term.shot})
            }
            for term in terms
        ]
        return runs, sorted(set.intersection(*map(set, runs))) if runs else []


def mean_gain(variants: Mapping[str, str], references: Mapping[str, str]) -> list[Term]:
    """The method's variant minus its reference's at each shot, the mean over shots."""
    share = 1 / len(variants)
    return [
        Term(sign * share, name, shot)
        for sign, names in ((1, variants), (-1, references))
        for shot, name in names.items()
    ]


def slope(variants: Mapping[str, str], references: Mapping[str, str]) -> list[Term]:
    """How the gain changes when the training questions are ten times as many: least squares over log10 n.

    Args:
        variants, references: the method's variant and its reference's variant at each shot (a number).
    """
    places = [math.log10(float(shot)) for shot in variants]
    middle = sum(places) / len(places)
    spread = sum((place - middle) ** 2 for place in places)
    terms = []
    for shot, place in zip(variants, places, strict=True):
        weight = (place - middle) / spread
        terms += [Term(weight, variants[shot], shot), Term(-weight, references[shot], shot)]
    return terms


def _is(row: Row, wanted: Mapping[str, str]) -> bool:
    return all(row[key] == value for key, value in wanted.items())
