"""Every variant against the reference, from the scores of single items: the table behind `gains.csv`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlkd_steps import tasks
from vlkd_steps.config import extra_evals
from vlkd_steps.evaluation.learned import have_learned
from vlkd_steps.evaluation.scores import Row, Run, Scores, labelled
from vlkd_steps.evaluation.significance import SD_OF_GROUPS, by_image, holm, pigeonhole_bootstrap, two_way
from vlkd_steps.tasks import Metric


@dataclass(frozen=True)
class Condition:
    """What is held fixed while methods are compared."""

    dataset: str
    student: str
    shot: str


def gains(experiment: str, runs: Sequence[Run], datasets: Sequence[Mapping[str, Any]], reference: str) -> list[Row]:
    """One row for every data set, student, shot, evaluation set, metric and variant (the columns of `gains.csv`).

    A variant is compared over the seeds that it has in common with the reference; its `mean` and `sd` are over those
    seeds too, so that mean - reference_mean = gain. Where seeds fall into groups (`grouped`), a t interval does not
    describe them, so there is none. The reference's own rows, and rows without a reference, have mean
    and sd over all their seeds and no gain. Holm's adjustment is over all p values of the table.

    Args:
        runs: dataset, student, teacher, method, variant, shot, seed of every training run.
        datasets: ``name, task, evaluation_sets`` of each, and its runs' extra evaluations (`config.extra_evals`).
        reference: the variant that the others are compared with.
    """
    rows: list[Row] = []
    conf = {dataset["name"]: dataset for dataset in datasets}
    for name in dict.fromkeys(run["dataset"] for run in runs):
        mine = [run for run in runs if run["dataset"] == name]
        for evaluation in extra_evals.sets(conf[name]):
            task = tasks.load(evaluation.task)
            for metric in task.compared_by:
                scores = Scores(experiment, evaluation.name, task, metric.name)
                rows += _on_one_set(scores, mine, reference)
    for row, adjusted in zip(rows, holm([row["p"] for row in rows]), strict=True):
        row["p_holm"] = adjusted
    return rows


def of_groups(metric: Metric) -> float | None:
    """The spread of gains by which seeds fall into groups (`significance.in_groups`): known for points of accuracy."""
    return SD_OF_GROUPS if metric.percentage else None


def _floor(scores: Scores, of_seeds: NDArray[np.float64], images: Sequence[str]) -> Row:
    """The commonest answer's score, and how many seeds are above it (`learned`)."""
    if scores.floors is None:
        return {"floor": None, "learned": None}
    learned = have_learned(of_seeds, scores.floors, images)
    return {"floor": float(scores.floors.mean()), "learned": None if learned is None else int(learned.sum())}


def _on_one_set(scores: Scores, runs: Sequence[Run], reference: str) -> list[Row]:
    values: dict[tuple[Condition, str], dict[int, NDArray[np.float64]]] = {}
    described: dict[tuple[Condition, str], Run] = {}
    for run in runs:
        key = Condition(run["dataset"], run["student"], str(run["shot"])), run["variant"]
        described.setdefault(key, run)
        values.setdefault(key, {})[run["seed"]] = scores(run)
    images = scores.images()

    rows: list[Row] = []
    compared: list[tuple[Row, NDArray[np.float64]]] = []
    items = np.empty(0)
    for (condition, variant), of_seeds in values.items():
        base = values.get((condition, reference), {}) if variant != reference else {}
        common = sorted(set(of_seeds) & set(base))
        seeds = common or sorted(of_seeds)
        means = [float(of_seeds[seed].mean()) for seed in seeds]
        run = described[condition, variant]
        row: Row = {
            "dataset": condition.dataset,
            "student": condition.student,
            "variant": variant,
            "method": run["method"],
            "teacher": run["teacher"],
            "shot": condition.shot,
            **labelled(run),
            "evaluation_set": scores.evaluation_set,
            "metric": scores.metric,
            "seeds": " ".join(map(str, seeds)),
            "n": len(images),
            "images": len(set(images)),
            "mean": float(np.mean(means)),
            "sd": float(np.std(means, ddof=1)) if len(means) > 1 else None,
            **_floor(scores, np.stack([of_seeds[seed] for seed in seeds]), images),
        }
        row |= dict.fromkeys(["reference_mean", "gain", "gain_low", "gain_high", "p", "p_holm"])
        row |= dict.fromkeys(["bootstrap_low", "bootstrap_high", "grouped"])
        rows.append(row)
        if common:
            items_differ = np.stack([of_seeds[seed] - base[seed] for seed in common])
            differences, items = by_image(items_differ, images)
            found = two_way(differences, items, of_groups(tasks.metrics()[scores.metric]))
            row["reference_mean"] = float(np.mean([base[seed].mean() for seed in common]))
            row |= {"gain": found.gain, "p": found.p, "grouped": int(found.grouped)}
            if not found.grouped:
                row |= {"gain_low": found.low, "gain_high": found.high}
            compared.append((row, differences))
    intervals = pigeonhole_bootstrap([differences for _, differences in compared], items)
    for (row, _), interval in zip(compared, intervals, strict=True):
        if interval is not None:
            row["bootstrap_low"], row["bootstrap_high"] = interval
    return rows
