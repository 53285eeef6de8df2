"""The report of an experiment: its page, figures and tables, from `gains.csv` and from the runs' files."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vlkd_steps.config import extra_evals
from vlkd_steps.config.extra_evals import Evaluation
from vlkd_steps.core import checksums, files, layout
from vlkd_steps.core.errors import UserError
from vlkd_steps.evaluation import summary
from vlkd_steps.evaluation.scores import Run
from vlkd_steps.reporting import figures, page, swept, teaching
from vlkd_steps.reporting import table as results_table
from vlkd_steps.reporting import timings as cost
from vlkd_steps.reporting.findings import findings, main_rows
from vlkd_steps.reporting.gallery import gallery
from vlkd_steps.reporting.measured import tables
from vlkd_steps.reporting.selection import selections
from vlkd_steps.reporting.shared import with_training
from vlkd_steps.reporting.style import styles
from vlkd_steps.reporting.training import LABELS, curves, logged

CURVES = ("dataset", "student", "evaluation_set", "variant", "shot", "mean", "sd", "gain", "gain_low", "gain_high")
"""The columns of ``plots/learning_curves.csv``."""


def report(
    experiment: str,
    runs: Sequence[Run],
    datasets: Sequence[Mapping[str, Any]],
    reference: str,
    highlight: str | None = None,
    members: Mapping[str, Mapping[str, Any]] | None = None,
) -> Path:
    """Write all files of the report and return the page.

    Args:
        highlight: the variant that the page highlights; None: that of the first finding.
        members: ``variant, label, values`` of the members of sweeps.

    Raises:
        UserError: there are no runs, or they were not compared.
    """
    if not runs:
        raise UserError(f"experiment {experiment} has no runs to report on; its grid in params.yaml is empty")
    results = layout.results(experiment)
    rows = results_table.read(results / "gains.csv", {dataset["name"]: dataset["task"] for dataset in datasets})
    rows = results_table.by_seed(rows, results / "summary.csv")
    look = styles(results_table.values(rows, "variant"), reference, results_table.labels(rows))
    compared = {*results_table.values(rows, "variant")} - {*(members or {})} | swept.chosen(rows, members or {})
    found = [finding for finding in findings(rows, reference) if finding.variant in {*compared, highlight}]
    hero = highlight or (found[0].variant if found else reference)

    seen, costs = logged(experiment, runs)
    training = curves(seen)
    spent = cost.timings(experiment, runs, costs)
    plots = results / "plots"
    files.write_text(plots / "learning_curves.svg", figures.learning_curves(rows, look))
    files.write_text(plots / "gains.svg", figures.gains(rows, look))
    files.write_text(plots / "loss_curves.svg", figures.training_curves(training["loss"], look, LABELS["loss"]))
    columns = [{column: row[column] for column in CURVES} for row in rows]
    files.write_text(plots / "learning_curves.csv", summary.table(columns))
    written = [cost.written(row) for row in spent]
    files.write_text(results / "timings.csv", summary.table(written) if written else ",".join(cost.COLUMNS) + "\n")

    galleries = [
        gallery(experiment, runs, dataset["name"], evaluation, hero, reference)
        for dataset in datasets
        for evaluation in looked_at(dataset, rows)
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
        selections=selections(runs),
        timings=spent,
        run_keys=results_table.run_keys(experiment, results / "summary.csv"),
        galleries=[each for each in galleries if each is not None],
        shared=with_training(datasets),
        measured=tables(results / "summary.csv", [dataset for dataset in datasets if dataset.get("extra_evals")]),
        swept=swept.tables(rows, members or {}, look),
        provenance=[cost.provenance(place) for place in cost.run_folders(experiment, runs)],
    )
    files.write_text(results / "report.html", html)
    made = [results / "report.html", results / "timings.csv", *sorted(plots.glob("[!.]*"))]
    checksums.write(layout.results_checksums(experiment, "report"), made)
    return results / "report.html"


def looked_at(dataset: Mapping[str, Any], rows: Sequence[results_table.Row]) -> list[Evaluation]:
    """The sets whose items the page shows: those that its findings are about."""
    names = {row["evaluation_set"] for row in main_rows(rows) if row["dataset"].split()[0] == dataset["name"]}
    return [evaluation for evaluation in extra_evals.sets(dataset) if evaluation.name in names]
