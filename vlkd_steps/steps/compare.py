"""Compare all methods of an experiment with its reference, with intervals over seeds and images.

Reads every run's ``config.yaml``, ``metrics.json`` and ``scores/<set>.parquet``; writes to ``results/<experiment>/``:

- ``summary.csv``: one row per run and evaluation set;
- ``gains.csv``: one row per variant, shot and evaluation set: mean, sd, gain over the reference, its interval and p;
- ``metrics.json``: the same means and gains for `dvc metrics show`.

Equal inputs give equal bytes. A gain that cannot be had (no reference), and an interval that the data cannot give (one
seed), are empty cells. Never imports torch.
"""

from collections.abc import Sequence
from typing import Any

from vlkd_steps.core import files, layout, step
from vlkd_steps.core.errors import UserError
from vlkd_steps.evaluation.compared_by import ACCURACY
from vlkd_steps.evaluation.gains import Row, gains
from vlkd_steps.evaluation.summary import cell, summary, table


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
