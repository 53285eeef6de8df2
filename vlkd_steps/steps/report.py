"""Turn an experiment's results into a page made for looking, with its figures and its cost.

Reads ``gains.csv`` of `compare` (every number on the page stands there), the runs' journals, provenance, scores and
predictions, and the images of the gallery. Writes to ``results/<experiment>/``:

- ``report.html``: one file that needs nothing else, in light and dark, on wide and narrow screens;
- ``plots/learning_curves.svg``, ``plots/gains.svg``, ``plots/loss_curves.svg``: the same bytes for the same numbers;
- ``plots/learning_curves.csv``: the numbers of the first, for `dvc plots`;
- ``timings.csv``: what every run cost, over all its attempts, and where it ran.

Never imports torch.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from vlkd_steps.config import extra_evals
from vlkd_steps.config.extra_evals import Ask
from vlkd_steps.core import files, layout, step
from vlkd_steps.core.errors import UserError
from vlkd_steps.reporting import figures, page, teaching
from vlkd_steps.reporting import table as results_table
from vlkd_steps.reporting import timings as cost
from vlkd_steps.reporting.findings import findings, main_set
from vlkd_steps.reporting.gallery import gallery
from vlkd_steps.reporting.measured import tables
from vlkd_steps.reporting.shared import with_training
from vlkd_steps.reporting.style import styles
from vlkd_steps.reporting.training import LABELS, curves, told
from vlkd_steps.steps import compare

CURVE_COLUMNS = [
    "dataset",
    "student",
    "evaluation_set",
    "variant",
    "shot",
    "mean",
    "sd",
    "gain",
    "gain_low",
    "gain_high",
]


@step.entry
def main(argv: Sequence[str] | None = None) -> int:
    config = step.configuration(argv, __doc__)
    experiment, runs, reference = config["experiment"], config["runs"], config["reference"]
    if not runs:
        raise UserError(f"experiment {experiment} has no runs to report on; its grid in params.yaml is empty")
    results = layout.results(experiment)
    rows = results_table.read(results / "gains.csv")
    look = styles(results_table.values(rows, "variant"), reference)
    found = findings(rows, reference)
    hero = config.get("highlight") or (found[0].variant if found else reference)

    seen = told(experiment, runs)
    training = curves(seen)
    spent = cost.timings(experiment, runs)
    plots = results / "plots"
    files.write_text(plots / "learning_curves.svg", figures.learning_curves(rows, look))
    files.write_text(plots / "gains.svg", figures.gains(rows, look))
    files.write_text(plots / "loss_curves.svg", figures.training_curves(training["loss"], look, LABELS["loss"]))
    columns = [{column: row[column] for column in CURVE_COLUMNS} for row in rows]
    files.write_text(plots / "learning_curves.csv", compare.table(columns))
    written = [cost.written(row) for row in spent]
    files.write_text(results / "timings.csv", compare.table(written) if written else ",".join(cost.COLUMNS) + "\n")

    galleries = [
        gallery(experiment, runs, dataset["name"], ask, hero, reference)
        for dataset in config["datasets"]
        for ask in looked_at(dataset, main_set(rows))
    ]
    html = page.render(
        experiment=experiment,
        reference=reference,
        hero=hero,
        rows=rows,
        findings=sorted(found, key=lambda finding: finding.variant != hero),
        styles=look,
        training=training,
        teaching=teaching.tables(seen),
        timings=spent,
        galleries=[each for each in galleries if each is not None],
        shared=with_training(config["datasets"]),
        measured=tables(results / "summary.csv", [dataset for dataset in config["datasets"] if dataset.get("asks")]),
        provenance=[cost.provenance(place) for place in cost.run_folders(experiment, runs)],
    )
    files.write_text(results / "report.html", html)
    step.log.info("[report %s] %s (%.1f MB)", experiment, results / "report.html", len(html) / 1e6)
    return 0


def looked_at(dataset: Mapping[str, Any], main: str) -> list[Ask]:
    """The sets whose items the page shows: the main one, or of sets that were asked beside the first of each task."""
    asks = extra_evals.sets(dataset)
    own = [ask for ask in asks if ask.name == main]
    return own or list({ask.task: ask for ask in reversed(asks) if ask.how}.values())


if __name__ == "__main__":
    raise SystemExit(main())
