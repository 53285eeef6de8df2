"""Score the predictions of one rule instance's runs with the task's official metric.

Reads each seed's ``predictions/<set>.parquet``; writes ``scores/<set>.parquet`` (the metric of every single item, from
which `compare` makes its intervals; `floor`: that of the set's commonest answer) and ``metrics.json``. The metric is
that of the set's task (`vlkd_steps.tasks`). Measures of a run (``predictions/<name>.json``) are included. Never imports
torch.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from vlkd_steps import tasks
from vlkd_steps.config.extra_evals import Evaluation, measures, of_run, sets
from vlkd_steps.core import artifacts, checksums, files, layout, step, tables
from vlkd_steps.core.errors import UserError
from vlkd_steps.evaluation.learned import floor
from vlkd_steps.evaluation.scores import check_scores
from vlkd_steps.evaluation.summary import plausible


@step.entry
def main(argv: Sequence[str] | None = None) -> int:
    config = step.configuration(argv, __doc__)
    dataset = config["dataset"]
    metrics: dict[int, dict[str, Any]] = {seed: {} for seed in config["seeds"]}
    scored: dict[int, dict[str, list[str]]] = {seed: {} for seed in config["seeds"]}
    for evaluation in sets(dataset):
        task = tasks.load(evaluation.task)
        instances = evaluation_instances(evaluation)
        scorer = task.scorer(instances)  # once per set: its references are prepared for all seeds
        floors = floor(task, instances, scorer)
        for seed in config["seeds"]:
            folder = run_folder(config, seed)
            predictions = read_predictions(folder, evaluation.name, instances)
            scores = scorer.score(predictions)
            scored_items = {"score": pl.Series(scores, dtype=pl.Float64), "floor": floors}
            table = instances.select("instance_id", "image_id", **scored_items)
            check_scores(table, f"{folder}, set {evaluation.name}", task)
            with files.atomic(layout.scores(folder, evaluation.name)) as temporary:
                table.write_parquet(temporary)
            counts = {"n": len(instances), "images": instances["image_id"].n_unique()}
            metrics[seed][evaluation.name] = found = scorer.metrics(scores) | counts
            for compared in task.compared_by:
                where = f"{folder}: {evaluation.name}.{compared.name}"
                remedy = f"`compared_by` of task {evaluation.task} names it, and its scorer's `metrics` is to hold it"
                number = plausible(found.get(compared.name), compared, where, remedy)
                scored[seed].setdefault(compared.name, []).append(f"{evaluation.name} {number:.1f}")
    for seed, of_sets in metrics.items():
        folder = run_folder(config, seed)
        files.write_json(layout.metrics(folder), of_sets | measured(config, seed))
        scores_of = [layout.scores(folder, evaluation.name) for evaluation in sets(dataset)]
        checksums.write(layout.run_checksums(folder, "evaluate"), [layout.metrics(folder), *scores_of])
        name = f"{dataset['name']} {config['student']} {config['variant']} {config['shot']} s{seed}"
        for metric, values in scored[seed].items():
            step.log.info("[evaluate %s] %s: %s", name, metric, ", ".join(values))
    return 0


def measured(config: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """A run's measures by name; one that did not apply (`{}`) is left out."""
    paths = {name: of_run(run_folder(config, seed), name, config["dataset"]) for name in measures(config["dataset"])}
    listing = layout.run_checksums(run_folder(config, seed), "distill")
    found = {name: files.read_json(checksums.verified(each, listing)) for name, each in paths.items()}
    return {name: values for name, values in found.items() if values}


def run_folder(config: Mapping[str, Any], seed: int) -> Path:
    return layout.run(
        config["experiment"], config["dataset"]["name"], config["student"], config["variant"], config["shot"], seed
    )


def evaluation_instances(evaluation: Evaluation) -> pl.DataFrame:
    """The rows of an evaluation set, in the order of its split file.

    Raises:
        UserError: a file is missing, the set is empty, or the split names an unknown instance.
    """
    split, source = (
        layout.eval_split(evaluation.dataset, evaluation.evaluation_set),
        layout.instances(evaluation.dataset),
    )
    ids = evaluation.ids()
    if ids.is_empty():
        raise UserError(f"{split} is empty: accuracy over no items is not defined; check the data set's roles")
    columns = ["instance_id", "image_id", "text", "label", "answer_type", "group", "extra"]
    instances = ids.join(
        tables.read(artifacts.instances(evaluation.dataset), columns=columns),
        on="instance_id",
        how="left",
        maintain_order="left",
    )
    unknown = instances.filter(pl.col("image_id").is_null())["instance_id"]
    if len(unknown):
        raise UserError(
            f"{split} names instance {unknown[0]}, which {source} does not have; the split was made from other data: "
            f"run snakemake --forcerun {split}"
        )
    return instances


def read_predictions(folder: Path, evaluation_set: str, instances: pl.DataFrame) -> pl.DataFrame:
    """A run's predictions, in the order of the instances.

    Raises:
        UserError: the file is missing or damaged, or does not have exactly one row for every instance.
    """
    path = checksums.verified(layout.predictions(folder, evaluation_set), layout.run_checksums(folder, "distill"))
    predictions = tables.read(path, columns=["instance_id", "prediction", "answer"])
    wanted, found = instances["instance_id"], predictions["instance_id"]
    twice = found.filter(found.is_duplicated())
    missing = wanted.filter(~wanted.is_in(found.implode()))
    surplus = found.filter(~found.is_in(wanted.implode()))
    for ids, fault in ((twice, "twice"), (missing, "not at all"), (surplus, "although it is not in the set")):
        if len(ids):
            raise UserError(
                f"{path} has instance {ids[0]} {fault} ({len(wanted)} instances in the set, {len(found)} rows in the "
                "file); the predictions belong to another split: delete the run's folder and run it again"
            )
    return instances.select("instance_id").join(predictions, on="instance_id", how="left", maintain_order="left")


if __name__ == "__main__":
    raise SystemExit(main())
