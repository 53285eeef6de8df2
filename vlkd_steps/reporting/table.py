"""`gains.csv` and `summary.csv` as the reports read them; these compute no numbers."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vlkd_steps import tasks
from vlkd_steps.config.models.method import declaration
from vlkd_steps.core import layout
from vlkd_steps.evaluation import tables, verdicts
from vlkd_steps.evaluation.significance import LEVEL
from vlkd_steps.tasks import ACCURACY

Row = dict[str, Any]
FEW = 3  # seeds up to which t quantiles, and so intervals, are wide: 4.3 with three seeds, 12.7 with two


def read(path: Path, task_of: Mapping[str, str] | None = None) -> list[Row]:
    """The rows in file order; empty cells are None.

    `unit` is what a shot of the data set counts, and `main` whether the metric is the task's main one.

    Args:
        task_of: the task of each data set; without it a shot counts items, and every metric is a main one.

    Raises:
        UserError: see `tables.read`.
    """
    rows = tables.read(path).to_dicts()
    shown = titles()
    for row in rows:
        task = (task_of or {}).get(row["dataset"])
        row["unit"] = tasks.load(task).unit if task else "items"
        row["main"] = task is None or row.get("metric", ACCURACY) == tasks.load(task).compared_by[0].name
        # a task with several metrics is shown as several data sets
        if row.get("metric", ACCURACY) != ACCURACY:
            row["dataset"] = f"{row['dataset']} {shown.get(row['metric'], row['metric'])}"
    return rows


def titles() -> dict[str, str]:
    """The titles of metrics, by name, for tasks with several metrics."""
    return {name: metric.title for name, metric in tasks.metrics().items() if metric.title}


def no_percentages(rows: Sequence[Row]) -> list[str]:
    """The metrics among the rows whose gains are not points of accuracy."""
    known = tasks.metrics()
    found = dict.fromkeys(row.get("metric", ACCURACY) for row in rows)
    return [name for name in found if name in known and not known[name].percentage]


def scale(row: Row) -> str:
    """What a row's mean is: ``accuracy, %``, or the name of a metric that is no percentage."""
    name = row.get("metric", ACCURACY)
    return name if no_percentages([row]) else "accuracy, %"


def few_seeds(row: Row) -> str:
    """``3 seeds`` if a row's interval is wide because of few seeds; else nothing."""
    number = len(row["seeds"].split())
    return f"{number} seeds" if row["gain_low"] is not None and number <= FEW else ""


def by_seed(rows: Sequence[Row], summary: Path) -> list[Row]:
    """The rows with `of_seeds`, the result of each seed in percent if there are few; else it is empty.

    Args:
        summary: `summary.csv` of the experiment.
    """
    keys = ("student", "variant", "shot", "evaluation_set", "metric")
    found: dict[tuple[Any, ...], list[float]] = {}
    for run in tables.read(summary).iter_rows(named=True):
        found.setdefault((run["dataset"], *(str(run[key]) for key in keys)), []).append(run["value"])
    of_seeds = [found.get((row["dataset"].split()[0], *(row[key] for key in keys)), []) for row in rows]
    return [{**row, "of_seeds": each if len(each) <= FEW else []} for row, each in zip(rows, of_seeds, strict=True)]


def run_keys(experiment: str, summary: Path) -> dict[str, str]:
    """Run folder -> run key, of `summary.csv`."""
    columns = ("dataset", "student", "variant", "shot", "seed")
    found = tables.read(summary).select(*columns, "run_key").unique(maintain_order=True)
    return {str(layout.run(experiment, *place)): key for *place, key in found.iter_rows()}


def sure(row: Row) -> int:
    """1 if the 95 % interval is above 0, -1 if it is below, else 0 (also without an interval).

    Where seeds fall into groups there is none, and p below 5 % decides.
    """
    if row.get("grouped"):
        return 0 if row["p"] is None or row["p"] >= 1 - LEVEL else 1 if row["gain"] > 0 else -1
    if row["gain_low"] is None:
        return 0
    return (row["gain_low"] > 0) - (row["gain_high"] < 0)


def values(rows: Sequence[Row], column: str) -> list[Any]:
    """The distinct values of a column in order of first appearance (the order of the grid in params.yaml)."""
    return list(dict.fromkeys(row[column] for row in rows))


def training(shot: str, unit: str) -> str:
    """A shot in words: ``300 training questions``, ``10 % of the training questions``, ``all training questions``."""
    amount = f"{shot.removesuffix('pct')} % of the" if shot.endswith("pct") else "all" if shot == "full" else shot
    return f"{amount} training {unit}"


def labels(rows: Sequence[Row]) -> dict[str, str]:
    """Names of variants in tables: the values of a sweep's members, else the variant's name."""
    return {row["variant"]: row.get("label") or row["variant"] for row in rows}


def keeping_teacher(rows: Sequence[Row]) -> list[str]:
    """The variants whose student needs its teacher at inference."""
    return values([row for row in rows if declaration(row["method"]).keeps_teacher], "variant")


def ordered(rows: Sequence[Row], variants: Sequence[str], shots: Sequence[str]) -> list[Row]:
    """Rows by shot, and within a shot by variant."""
    return sorted(rows, key=lambda row: (shots.index(row["shot"]), variants.index(row["variant"])))


def points(value: float | None, signed: bool = True, missing: str = "–") -> str:
    """A percentage or a gain to one decimal, with a true minus sign."""
    if value is None:
        return missing
    text = f"{value:+.1f}" if signed else f"{value:.1f}"
    if float(text) == 0:
        return "0.0"
    return text.replace("-", "−")


def rounded_p(p: float, digits: int, form: str) -> str:
    """A p value with so many digits (`form` as of a format, ``f`` or ``g``), or more where 0.0496 would be 0.05."""
    text = f"{p:.{digits}{form}}"
    return text if (float(text) < verdicts.LEVEL) == (p < verdicts.LEVEL) else rounded_p(p, digits + 1, form)


def interval(row: Row) -> str:
    """``[low, high]`` of a gain to one decimal, or why there is none."""
    if row["gain"] is None:
        return ""
    if row.get("grouped"):
        return "(seeds in groups)"
    if row["gain_low"] is None:  # (no spread): all differences are equal (`significance.two_way`)
        one_image = "(one image)" if row.get("images") == 1 else "(no spread)"
        return "(one seed)" if len(row["seeds"].split()) < 2 else one_image
    low, high = (points(row[end], signed=False) for end in ("gain_low", "gain_high"))
    return f"[{low}, {high}]"


def spread(row: Row) -> str:
    """``mean ± sd`` to one decimal; only the mean for one seed."""
    mean = points(row["mean"], signed=False)
    return mean if row["sd"] is None else f"{mean} ± {points(row['sd'], signed=False)}"


def learned(row: Row) -> str:
    """``learned 2 of 5 seeds`` if not all have (`evaluation.learned`); else nothing."""
    seeds = len(row["seeds"].split())
    if row.get("learned") in (None, seeds):
        return ""
    return f"learned {row['learned']} of {seeds} seed{'' if seeds == 1 else 's'}"


def name(text: str) -> str:
    """An identifier for reading: ``unseen_pairs`` -> ``unseen pairs``."""
    return text.replace("_", " ")


def shot_order(shot: str) -> tuple[int, float, str]:
    """Counts by size, then percentages, then words (`full`)."""
    try:
        number = float(shot.removesuffix("pct"))
    except ValueError:
        return 2, 0.0, shot
    return int(shot.endswith("pct")), number, shot
