"""What MLflow takes of a run's numbers: names, values and batches."""

import functools
import math
import re
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from vlkd_steps.tracking.records import MEAN_OVER, Point, Record

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

BATCH_METRICS, BATCH_OTHERS = 800, 100  # MLflow accepts 1,000 entities in a batch, 100 of them parameters or tags
KEY_LENGTH = 250  # MLflow's limit
TRAINING = ("train/", "cost/")
"""What the names of metrics from training begin with; the others are results and gains."""


def history(client: "MlflowClient", run_id: str, names: Iterable[str]) -> dict[tuple[str, int], float]:
    """The value that MLflow shows for every metric and step: the latest, and of one time the largest."""
    latest = {}
    for name in names:
        for metric in sorted(client.get_metric_history(run_id, name), key=_rank):
            latest[metric.key, metric.step] = metric.value
    return latest


def _rank(metric: "Metric") -> tuple[int, float]:
    return metric.timestamp, 0.0 if math.isnan(metric.value) else metric.value


def unsent(record: Record, sent: Mapping[tuple[str, int], float]) -> list[Point]:
    """The points of a record, as MLflow takes them, that it lacks or has with another value."""
    new = [point for point in _cleaned(record.points) if not _same(sent.get(point[:2]), point.value)]
    return _renewed(record, new, sent)


def batches(metrics: Sequence[Any], params: Sequence[Any], tags: Sequence[Any]) -> Iterator[tuple[Any, Any, Any]]:
    """Parts that each fit into one of MLflow's batches, tags in the last ones."""
    while len(metrics) > BATCH_METRICS or len(params) > BATCH_OTHERS:
        yield metrics[:BATCH_METRICS], params[:BATCH_OTHERS], []
        metrics, params = metrics[BATCH_METRICS:], params[BATCH_OTHERS:]
    while metrics or params or tags:
        yield metrics, params, tags[:BATCH_OTHERS]
        metrics, params, tags = [], [], tags[BATCH_OTHERS:]


def _cleaned(points: Iterable[Point]) -> Iterator[Point]:
    """Points with names that MLflow accepts, and infinities as it stores them."""
    for point in points:
        limit = sys.float_info.max
        value = point.value if math.isnan(point.value) else max(-limit, min(limit, point.value))
        yield point._replace(name=key(point.name), value=value)


def _renewed(record: Record, new: list[Point], sent: Mapping[tuple[str, int], float]) -> list[Point]:
    """Points that may change or disappear: with a later time than MLflow's, and NaN for missing ones.

    These are all points of a mean, and the results and gains of an evaluated run; its training curves only grow.
    """
    of_mean = MEAN_OVER in record.tags
    if not sent or record.tags.get("superseded") == "yes" or not (of_mean or record.results):
        return new
    now = round(1000 * time.time())
    last = {point.name: point.step for point in sorted(_cleaned(record.points), key=lambda point: point.step)}
    ours = ("",) if of_mean else ("gain/", *(f"{key(name)}/" for name in record.results))  # others may be a user's
    gone = [each for each, value in sent.items() if each[0] not in last and not math.isnan(value)]
    missing = [Point(*each, math.nan, now) for each in gone if each[0].startswith(ours)]
    for number, point in enumerate(new):
        result = point.step == last[point.name] and not point.name.startswith(TRAINING)
        if point[:2] in sent and (of_mean or result):
            new[number] = point._replace(time=max(now, point.time))
    return new + missing


def _same(sent: float | None, value: float) -> bool:
    return sent is not None and (sent == value or (math.isnan(sent) and math.isnan(value)))


@functools.cache  # a curve repeats its name at every step
def key(name: str) -> str:
    """A name of letters, digits and ``_-. :/``, without empty or dotted parts, because MLflow uses it as a path."""
    parts = [re.sub(r"[^\w.\- :]", "_", part) for part in name.split("/")]
    return "/".join("_" if part in ("", ".", "..") else part for part in parts)[:KEY_LENGTH]
