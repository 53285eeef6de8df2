"""Compare all methods of an experiment with its reference, with intervals over seeds and images.

Reads every run's ``config.yaml``, ``metrics.json`` and ``scores/<set>.parquet``; writes to ``results/<experiment>/``:

- ``summary.csv``: one row per run and evaluation set;
- ``gains.csv``: one row per variant, shot and evaluation set: mean, sd, gain over the reference, its interval and p;
- ``metrics.json``: the same means and gains for `dvc metrics show`.

Equal inputs give equal bytes. A gain that cannot be had (no reference), and an interval that the data cannot give (one
seed), are empty cells. Never imports torch.
"""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from vlkd_steps.config import extra_evals
from vlkd_steps.core import files, layout, step
from vlkd_steps.core.errors import UserError
from vlkd_steps.evaluation.compared_by import ACCURACY, metrics_of
from vlkd_steps.evaluation.gains import Row, Run, folder, gains, name
from vlkd_steps.tracking import published


@step.entry
def main(argv: Sequence[str] | None = None) -> int:
    config = step.configuration(argv, __doc__)
    experiment, runs, reference = config["experiment"], config["runs"], config["reference"]
    if not runs:
        raise UserError(f"experiment {experiment} has no runs to compare; its grid in params.yaml is empty")
    datasets = config["datasets"]
    results = layout.results(experiment)

    files.write_text(results / "summary.csv", table(summary(experiment, runs, datasets)))
    rows = gains(experiment, runs, datasets, reference)
    files.write_text(results / "gains.csv", table(rows))
    files.write_json(results / "metrics.json", nested(rows))

    compared = [row for row in rows if row["gain"] is not None]
    sure = sum(row["gain_low"] is not None and (row["gain_low"] > 0 or row["gain_high"] < 0) for row in compared)
    step.log.info("[compare %s] %d runs; %d gains over %s", experiment, len(runs), len(compared), reference)
    step.log.info("[compare %s] the 95 %% interval excludes 0 in %d of them", experiment, sure)
    unsure = sum(row["gain_low"] is None for row in compared)
    if unsure:
        why = "it takes two seeds or more, and differences that vary"
        step.log.info("[compare %s] %d of them have no interval: %s", experiment, unsure, why)
    return 0


def summary(experiment: str, runs: Sequence[Run], datasets: Sequence[Mapping[str, Any]]) -> list[Row]:
    """The rows of `summary.csv`, in the order of the runs.

    Raises:
        UserError: a run was not evaluated, or not on one of the sets.
    """
    rows = []
    conf = {dataset["name"]: dataset for dataset in datasets}
    for run in runs:
        metrics, key = read_metrics(experiment, run), published.run_key(folder(experiment, run))
        described = ("dataset", "student", "teacher", "method", "variant", "shot", "seed")
        row = {column: run[column] for column in described}
        for ask in extra_evals.sets(conf[run["dataset"]]):
            if ask.name not in metrics:
                raise UserError(
                    f"{layout.metrics(folder(experiment, run))} has no evaluation set {ask.name} "
                    f"(it has {', '.join(metrics)}); run snakemake --forcerun evaluate"
                )
            found = metrics[ask.name]
            for metric in metrics_of(ask.task):
                value = {"evaluation_set": ask.name, "metric": metric, "value": found[metric]}
                rows.append(row | value | {"n": found["n"], "run_key": key})
        for measure in extra_evals.measures(conf[run["dataset"]]):
            found = metrics.get(measure, {})
            for metric, number in numbers({key: value for key, value in found.items() if key != "n"}):
                value = {"evaluation_set": measure, "metric": metric, "value": number}
                rows.append(row | value | {"n": found["n"], "run_key": key})
    return rows


def numbers(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """The numbers of a measure, with the names of what they stand below joined by a space."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from numbers(value, f"{prefix}{key} ")
        elif isinstance(value, int | float):
            yield prefix + key, float(value)


def read_metrics(experiment: str, run: Run) -> dict[str, Any]:
    return files.read_json(layout.metrics(folder(experiment, run)), f"evaluate run {name(run)}: snakemake -f {{path}}")


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


def nested(rows: Sequence[Row]) -> dict[str, Any]:
    """dataset > student > evaluation set > shot > variant > {accuracy, gain}: what `dvc metrics show` prints.

    A task of several metrics has one more level behind the evaluation set.
    """
    tree: dict[str, Any] = {}
    for row in rows:
        place = tree
        for level in ("dataset", "student", "evaluation_set", "metric", "shot"):
            if row[level] != ACCURACY:
                place = place.setdefault(str(row[level]), {})
        leaf = {ACCURACY: float(cell("mean", row["mean"]))}
        if row["gain"] is not None:
            leaf["gain"] = float(cell("gain", row["gain"]))
        place[row["variant"]] = leaf
    return tree


if __name__ == "__main__":
    raise SystemExit(main())
