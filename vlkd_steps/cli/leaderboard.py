"""Write the CSV for VCR's leaderboard, with a trained student's scores of all choices.

    vlkd leaderboard runs/paper_vcr/vcr/uniter_base/clip_td/full/s10 --split test --out leaderboard.csv

Rationales are scored given each of the four answers, not only the one that the student chose, as the official format
requires. The split is a file group of the run's data set, with or without labels; `vlkd score vcr` scores the CSV of a
split with labels. A student that reads region features, or a teacher's features, needs them for the split (`splits` of
the extractor).
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import polars as pl
from typer import Argument, Option

from vlkd_steps import tasks
from vlkd_steps.cli import command
from vlkd_steps.core import artifacts
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.terminal import say
from vlkd_steps.tasks import vcr

COLUMNS = ("instance_id", "image_id", "image_path", "text", "choices", "answer_type", "extra")


@command.single("leaderboard", __doc__)
def main(
    run: Annotated[Path, Argument(help="the folder of a finished run on VCR")],
    out: Annotated[Path, Option(help="the CSV")],
    split: Annotated[str, Option(help="a file group of the run's data set")] = "test",
) -> None:
    command.check_output(out, "--out")
    run = command.from_project(run)
    config = run_config(run)
    rows = questions(config["dataset"]["name"], split)
    ids = rows["instance_id"].to_list()[::5]
    from vlkd_steps.evaluation import vcr_leaderboard  # numpy only where there is work to do

    vcr_leaderboard.write(out, [official(name, split) for name in ids], scores(run, config, rows))
    say(f"{out}: {len(ids)} annotations of {config['dataset']['name']}, split {split}")


def run_config(folder: Path) -> dict[str, Any]:
    """The run's configuration.

    Raises:
        UserError: the run is not finished, damaged, not on VCR, or has no student.
    """
    from vlkd_steps.deployment import finished_run  # torch only where there is a run to read

    config, _ = finished_run.described(folder)
    if tasks.load(config["dataset"]["task"]) is not vcr.TASK:
        raise UserError(f"{folder} is a run on {config['dataset']['task']}; the leaderboard is for VCR")
    return config


def questions(dataset: str, split: str) -> pl.DataFrame:
    """Five rows for each annotation of a split: its answers, and its rationales given each of the four.

    Raises:
        UserError: the data set has no such split.
    """
    path = artifacts.instances(dataset)
    table = pl.scan_parquet(path).filter(pl.col("split") == split).select(COLUMNS).collect()
    if table.is_empty():
        known = sorted(pl.scan_parquet(path).select(pl.col("split").unique()).collect()["split"])
        raise UserError(f"--split {split}: {path} has no rows of it; there are {', '.join(known)}")
    first = (
        table.with_columns(pair=vcr.TASK.items(table["instance_id"]))
        .unique(["pair", "answer_type"], keep="first")
        .sort("pair", "answer_type")
    )
    of_kind = [first.filter(pl.col("answer_type") == kind).to_dicts() for kind in (vcr.ANSWER, vcr.RATIONALE)]
    rows = [row for pair in zip(*of_kind, strict=True) for row in _five(*pair)]
    return pl.DataFrame(rows, schema={name: table.schema[name] for name in COLUMNS}).with_columns(
        label=pl.lit(None, pl.Int64),
        soft_labels=pl.lit(None, pl.List(pl.Struct({"label": pl.Int64, "score": pl.Float64}))),
    )


def _five(answer: dict[str, Any], rationale: dict[str, Any]) -> Iterator[dict[str, Any]]:
    extra = json.loads(answer["extra"])
    yield {name: answer[name] for name in COLUMNS} | {"extra": json.dumps(extra)}
    for given in extra["choices"]:
        yield {name: rationale[name] for name in COLUMNS} | {"extra": json.dumps({**extra, "answer": given})}


def official(instance_id: str, split: str) -> str:
    """The `annot_id` of an instance, without the prefix of a shifted set."""
    return instance_id.rpartition(":")[0].removeprefix(f"{split}/")


def scores(folder: Path, config: dict[str, Any], rows: pl.DataFrame) -> Any:
    """The student's scores of every choice for N annotations, float64 [N, 5, 4].

    Raises:
        UserError: the features that it reads are others than those that it was trained with.
    """
    from vlkd_steps.core import hardware
    from vlkd_steps.data.items import from_frame
    from vlkd_steps.deployment import finished_run
    from vlkd_steps.runs import classify, predict

    accelerator = hardware.accelerator(config["training"])
    student = classify.architecture(config).load(folder / "model.safetensors").to(accelerator.device)
    data = finished_run.data_set(folder, config, student, accelerator.device)
    encoded = data.encode(from_frame(rows, data.labels), student).to(accelerator.device)
    return predict.all_scores(student, encoded, accelerator).double().numpy().reshape(-1, 5, len(data.labels))


if __name__ == "__main__":
    raise SystemExit(main())
