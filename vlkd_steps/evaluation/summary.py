"""The metrics of all runs of an experiment as rows, and how rows are written as CSV."""

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from vlkd_steps import tasks
from vlkd_steps.config import extra_evals
from vlkd_steps.core import files, layout
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.numbers import finite
from vlkd_steps.evaluation.scores import Row, Run, evaluated, folder, labelled
from vlkd_steps.tracking import journal

AGAIN = "run snakemake --forcerun evaluate"


def summary(experiment: str, runs: Sequence[Run], datasets: Sequence[Mapping[str, Any]]) -> list[Row]:
    """The rows of `summary.csv`, in the order of the runs.

    Raises:
        UserError: a run was not evaluated, or not on one of the sets.
    """
    rows = []
    conf = {dataset["name"]: dataset for dataset in datasets}
    for run in runs:
        path = layout.metrics(folder(experiment, run))
        metrics, key = files.read_json(evaluated(experiment, run, path)), journal.owner(folder(experiment, run))
        described = ("dataset", "student", "teacher", "method", "variant", "shot", "seed")
        row = {column: run[column] for column in described} | labelled(run)
        for evaluation in extra_evals.sets(conf[run["dataset"]]):
            if evaluation.name not in metrics:
                raise UserError(
                    f"{path} has no evaluation set {evaluation.name} "
                    f"(it has {', '.join(metrics)}); run snakemake --forcerun evaluate"
                )
            found = metrics[evaluation.name]
            for compared in tasks.load(evaluation.task).compared_by:
                number = plausible(found.get(compared.name), compared, f"{path}: {evaluation.name}.{compared.name}")
                value = {"evaluation_set": evaluation.name, "metric": compared.name, "value": number}
                rows.append(row | value | {"n": found["n"], "run_key": key})
        for measure in extra_evals.measures(conf[run["dataset"]]):
            found = metrics.get(measure, {})
            for metric, number in numbers({key: value for key, value in found.items() if key != "n"}):
                if not finite(number):
                    raise UserError(f"{path}: {measure}.{metric} is {str(number)[:40]}, not a finite number; {AGAIN}")
                value = {"evaluation_set": measure, "metric": metric, "value": number}
                rows.append(row | value | {"n": found["n"], "run_key": key})
    return rows


def numbers(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The values of a measure, with the names of the keys above them joined by a space."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from numbers(value, f"{prefix}{key} ")
        else:
            yield prefix + key, float(value) if finite(value) else value


def plausible(value: Any, metric: tasks.Metric, where: str, remedy: str = AGAIN) -> float:
    """A metric's value, if it can be one.

    Raises:
        UserError: no number, not finite, below 0, or a percentage above 100.
    """
    most = 100.0 if metric.percentage else math.inf
    if not finite(value) or not 0 <= value <= most:
        allowed = "a number from 0 to 100" if metric.percentage else "a number, 0 or more"
        raise UserError(f"{where} is {str(value)[:40]}, not {allowed}; {remedy}")
    return float(value)


def table(rows: Sequence[Row]) -> str:
    """CSV of rows with equal keys, with one way of writing each number, so that equal values are equal bytes."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(rows[0])
    writer.writerows([cell(column, value) for column, value in row.items()] for row in rows)
    return text.getvalue()


def cell(column: str, value: object) -> str:
    """Percentages with four decimals, p values with four significant digits, None as nothing."""
    if value is None:
        return ""
    if isinstance(value, float):
        text = f"{value:.4g}" if column in ("p", "p_holm") else f"{value:.4f}"
        return text.removeprefix("-") if float(text) == 0 else text  # -0.0000 is 0.0000
    return str(value)
