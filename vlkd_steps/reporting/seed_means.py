"""The parent runs in MLflow: one for the seeds of each data set, student, variant and shot.

They are derived from the runs' records and from `results/<experiment>/`. A gain has the interval of gains.csv, and an
evaluation set the number of seeds that learned, if that was computed from the present runs.
"""

import math
import statistics
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from vlkd_steps.core import layout
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.step import log
from vlkd_steps.tracking.records import MEAN_OVER, Point, Record

SHARED = ("experiment", "dataset", "student", "teacher", "method", "variant", "sweep", "label", "shot")
ROUNDING = 0.02  # metrics.json has two decimals

Cell = tuple[str, ...]
Cells = Mapping[Cell, str]
"""Data set, student, variant, shot and seed -> run key."""


class Compared(NamedTuple):
    """What `compare` found of a parent's runs on an evaluation set."""

    gain: float | None
    low: float | None
    high: float | None
    learned: int | None


def of(experiment: str, records: Sequence[Record], reference: str) -> list[Record]:
    """A record for each parent that the runs name, sorted by folder and key."""
    groups = defaultdict(list)
    for record in records:
        groups[record.parent].append(record)
    current = {_cell(record): record.run_key for record in records if record.tags["superseded"] == "no"}
    measured = any(record.results for record in records)
    compared = _compared(experiment, current, reference) if measured else {}
    found = [_mean(members, compared) for members in groups.values()]
    return sorted(found, key=lambda record: (record.folder, record.run_key))


def _mean(members: Sequence[Record], compared: Mapping[Cell, Compared]) -> Record:
    """The parent of the current runs, which has no values if later starts replaced all of them."""
    counted = [record for record in members if record.tags["superseded"] == "no"]
    first = (counted or members)[0]
    finished = [record for record in counted if record.results]
    seeds = sorted((record.tags.get("seed", "") for record in finished), key=lambda seed: (len(seed), seed))
    ends = [record.ended for record in members]
    time = max((point.time for record in finished for point in record.points), default=first.started)
    tags = {name: first.tags[name] for name in SHARED if name in first.tags}
    tags |= {MEAN_OVER: "seeds", "seeds": " ".join(seeds), "superseded": "no" if counted else "yes"}
    values = dict(_values(finished))
    numbers = {"seeds": float(len(finished))} | dict(_numbers(values))
    for name in values:
        found = compared.get((*_cell(first)[:4], " ".join(seeds), name))
        if found is not None:
            numbers |= _found(name, found, values)
    return Record(
        folder=first.folder.parent,
        run_key=first.parent,
        name=" ".join(part for part in first.name.split(" ") if part != f"s{first.tags.get('seed')}"),
        tags=tags,
        params={name: value for name, value in first.params.items() if name != "seed"},
        points=[Point(name, 0, value, time) for name, value in sorted(numbers.items())],
        datasets=[],
        status=_status(counted or members),
        started=min(record.started for record in members),
        ended=None if None in ends else max(end for end in ends if end is not None),
        results=_by_set(values),
    )


def _found(name: str, found: Compared, values: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """The numbers of `compare` for the metric ``<evaluation set>/<metric>``."""
    learned = {} if found.learned is None else {f"learned/{name}": float(found.learned)}
    gains = values.get(f"gain/{name}")
    if gains is None or found.gain is None or found.low is None or found.high is None:
        return learned
    if abs(found.gain - statistics.fmean(gains)) >= ROUNDING:
        return learned
    return learned | {f"low/gain/{name}": found.low, f"high/gain/{name}": found.high}


def _status(members: Sequence[Record]) -> str:
    """The first of these states that a run has."""
    there = {record.status for record in members}
    return next(status for status in ("RUNNING", "FAILED", "KILLED", "FINISHED") if status in there)


def _values(finished: Sequence[Record]) -> Iterator[tuple[str, list[float]]]:
    """The values over seeds of every metric, and of a gain that all of them have: its mean is over the same seeds.

    Only the runs have the values of single question types.
    """
    values = defaultdict(list)
    for record in finished:
        for evaluation_set, metrics in record.results.items():
            for metric, value in metrics.items():
                if "/" not in metric:
                    values[f"{evaluation_set}/{metric}"].append(value)
        for point in record.points:
            if _is_gain(point.name) and point.name.count("/") == 2:
                values[point.name].append(point.value)
    whole = {name: found for name, found in values.items() if not (_is_gain(name) and len(found) < len(finished))}
    return iter(sorted(whole.items()))


def _is_gain(name: str) -> bool:
    return name.startswith("gain/")


def _numbers(values: Mapping[str, Sequence[float]]) -> Iterator[tuple[str, float]]:
    """Mean and standard deviation; for metrics other than gains, also the t interval over seeds."""
    for name, found in values.items():
        mean = statistics.fmean(found)
        yield name, round(mean, 4)
        if len(found) < 2:
            continue
        sd = statistics.stdev(found)
        yield f"sd/{name}", round(sd, 4)
        if not _is_gain(name) and sd:
            from scipy import special

            half = float(special.stdtrit(len(found) - 1, 0.975)) * sd / math.sqrt(len(found))
            yield f"low/{name}", round(mean - half, 4)
            yield f"high/{name}", round(mean + half, 4)


def _by_set(values: Mapping[str, Sequence[float]]) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for name, each in values.items():
        if not _is_gain(name):
            evaluation_set, _, metric = name.partition("/")
            found.setdefault(evaluation_set, {})[metric] = statistics.fmean(each)
    return found


def _compared(experiment: str, current: Cells, reference: str) -> dict[Cell, Compared]:
    """The rows of gains.csv for the present runs, by data set, student, variant, shot, seeds and metric."""
    paths = [layout.results(experiment) / name for name in ("summary.csv", "gains.csv")]
    if not all(path.is_file() for path in paths):
        return {}
    from vlkd_steps.evaluation import tables

    try:
        summary, gains = (tables.read(path).to_dicts() for path in paths)
    except UserError as error:
        log.warning(f"{error}; MLflow shows no intervals of gains and not how many seeds learned")
        return {}
    names = ("dataset", "student", "variant", "shot", "seed")
    compared = {tuple(row[name] for name in names): row["run_key"] for row in summary}
    found: dict[Cell, Compared] = {}
    for row in gains:
        dataset, student, variant, shot = (row[name] for name in names[:4])
        seeds = (row["seeds"] or "").split()
        of_gain = (variant, reference) if row["gain"] is not None else (variant,)
        cells = [(dataset, student, each, shot, seed) for each in of_gain for seed in seeds]
        if all(cell in current and current[cell] == compared.get(cell) for cell in cells):
            metric = f"{row['evaluation_set']}/{row.get('metric') or 'accuracy'}"
            found[dataset, student, variant, shot, row["seeds"], metric] = Compared(
                row["gain"], row["gain_low"], row["gain_high"], row.get("learned")
            )
    return found


def _cell(record: Record) -> Cell:
    return tuple(record.tags.get(name, "") for name in ("dataset", "student", "variant", "shot", "seed"))
