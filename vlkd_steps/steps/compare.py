"""Compare all methods of an experiment with its reference, with intervals over seeds and images.

Reads every run's ``config.yaml``, ``metrics.json`` and ``scores/<set>.parquet``; writes to ``results/<experiment>/``:

- ``summary.csv``: one row per run and evaluation set;
- ``gains.csv``: one row per variant, shot and evaluation set: mean, sd, gain over the reference, its interval and p;
- ``metrics/<data set>.json``: the best method against the reference, for `dvc metrics show`.

Equal inputs give equal bytes. A gain without a reference, and an interval that needs more data (one seed), are empty
cells. Never imports torch.
"""

from collections.abc import Sequence

from vlkd_steps.core import checksums, files, layout, step
from vlkd_steps.core.errors import UserError
from vlkd_steps.evaluation.gains import gains
from vlkd_steps.evaluation.summary import summary, table
from vlkd_steps.reporting.headline import headline
from vlkd_steps.reporting.table import sure


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
    names = [conf["name"] for conf in datasets]
    headlines = {layout.headline(experiment, each): headline(rows, each, reference) for each in names}
    for old in set((results / "metrics").glob("*.json")) - set(headlines):
        old.unlink()  # of a data set that the grid no longer has
    for path, found in headlines.items():
        files.write_json(path, found)
    listing = layout.results_checksums(experiment, "compare")
    checksums.write(listing, [results / "summary.csv", results / "gains.csv", *headlines])

    compared = [row for row in rows if row["gain"] is not None]
    significant = sum(sure(row) != 0 for row in compared)
    step.log.info("[compare %s] %d runs; %d gains over %s", experiment, len(runs), len(compared), reference)
    step.log.info("[compare %s] %d of them are significant at 5 %%", experiment, significant)
    unsure = sum(row["gain_low"] is None for row in compared)
    if unsure:
        why = "it takes two seeds or more that do not fall into groups, two images, and differences that vary"
        step.log.info("[compare %s] %d of them have no interval: %s", experiment, unsure, why)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
