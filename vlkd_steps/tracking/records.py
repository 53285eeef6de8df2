"""Reads a run directory into the records that a tracker shows. Plain data, independent of MLflow."""

import dataclasses
import functools
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from vlkd_steps.config import member_names
from vlkd_steps.core import files, layout, locks
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.numbers import finite
from vlkd_steps.core.step import log
from vlkd_steps.tracking import cost, journal
from vlkd_steps.tracking.journal import Event

COUNTS = ("n", "images")  # numbers in metrics.json that are counts of items
REMARKS = ("tokenizer", "left_out")  # texts in it: how captions were cut into words, which metrics are missing and why
REFERENCE = "finetune"  # the variant that gains are measured against, unless another is named
MEAN_OVER = "mean_over"  # the tag of a record for several runs: what their mean is over
MEAN = "seeds-"  # prefix of the run key of a mean over seeds
CLOCK_SLACK = 2.0  # seconds by which the clocks of a file server and a machine may differ


class Point(NamedTuple):
    """One value of a metric; `time` in milliseconds since 1970."""

    name: str
    step: int
    value: float
    time: int


@dataclass(frozen=True)
class Record:
    """One training run: the last or an earlier run key of a run directory's journal.

    Attributes:
        tags: as written by `distill` (dataset, student, variant, seed, ...), plus run_key, attempts, duration (of all
            attempts), superseded; where it ran (slurm_job, slurm_node, gpu) covers all attempts.
        points: each (name, step) once, in order of time.
        status: RUNNING, FINISHED, FAILED or KILLED, as MLflow calls them.
        started, ended: milliseconds since 1970; `ended` is None while the run trains.
        results: evaluation set -> metric -> value, from metrics.json; {} before the evaluation.
        parent: the run key of the record for all seeds with these parameters; empty for such a record.
        sources: the artifacts' source files -> sha256; {} before the run is finished.
        instances: which instances of its data set are here, as `instances` has it; empty before the run is finished.
    """

    folder: Path
    run_key: str
    name: str
    tags: dict[str, str]
    params: dict[str, str]
    points: list[Point]
    datasets: list[dict[str, str]]
    status: str
    started: int
    ended: int | None
    results: dict[str, dict[str, float]] = field(default_factory=dict)
    sources: dict[Path, str] = field(default_factory=dict)
    parent: str = ""
    instances: str = ""

    @functools.cached_property
    def digest(self) -> str:
        """A hash of the content: a tracker that has sent it need not send it again."""
        names = [each.name for each in dataclasses.fields(self) if each.name not in ("points", "sources", "folder")]
        content = {name: getattr(self, name) for name in names}
        points = [[name, step, repr(value), time] for name, step, value, time in self.points]  # repr: NaN is no JSON
        sources = sorted((str(path), sha) for path, sha in self.sources.items())
        return files.digest([content, points, sources, str(self.folder)])[:16]


def read(folder: Path, reference: str = REFERENCE) -> list[Record]:
    """The runs of one run directory; the files beside the journal belong to the current one.

    Args:
        reference: the variant that gains are measured against.
    """
    runs, current, training = _runs(folder)
    return [
        _record(folder, run_key, events, reference, current=run_key == current, writing=run_key == training)
        for run_key, events in runs.items()
    ]


def _runs(folder: Path) -> tuple[dict[str, list[Event]], str, str]:
    """The runs of a directory by key, the key of the current one and of the one that is training; empty: none is.

    The current run is that which `distill` published last, or the one that is training.
    """
    path = layout.journal(folder)
    runs = journal.by_run(journal.read(path))
    latest = next(reversed(runs), "")
    if runs and runs[latest][-1]["event"] != "end" and locks.is_open(path) is not False:
        return runs, latest, latest
    owner = journal.owner(folder)
    return runs, owner if owner in runs else latest, ""


def _record(folder: Path, run_key: str, events: list[Event], reference: str, *, current: bool, writing: bool) -> Record:
    starts = [event for event in events if event["event"] == "start"]
    first, latest = starts[0], starts[-1]
    end = events[-1] if events[-1]["event"] == "end" else None
    finished = _finished(events)
    journalled = {**first.get("tags", {}), **latest.get("tags", {})}
    tags = {name: str(value) for name, value in journalled.items() if value is not None}
    tags |= {"run_key": run_key, "attempts": str(len(starts)), "superseded": "no" if current else "yes"}
    points = {(point.name, point.step): point for point in _course(events)}
    spent = cost.of(events)
    tags |= spent.allocation
    if not writing:  # during training every poll would add a value
        tags["duration"] = _duration(spent.seconds)
        last = _milliseconds(events[-1]["time"])
        for name, value in spent.numbers().items():
            points[f"cost/{name}", 0] = Point(f"cost/{name}", 0, value, last)
    whole = current and bool(finished) and not writing
    results = _results(folder, finished[0]) if whole else {}
    if results:
        last_steps = {point.name: point.step for point in sorted(points.values(), key=lambda point: point.step)}
        gains = _gains(results, reference_results(folder, tags, reference))
        measured = _milliseconds(layout.metrics(folder).stat().st_mtime)
        for name, value in {**_flat(results), **gains}.items():
            step = last_steps.get(name, 0)  # the end of its curve; MLflow shows a number without one as a bar
            points[name, step] = Point(name, step, value, measured)
    params = _params(first, latest, tags)
    return Record(
        folder=folder,
        run_key=run_key,
        name=_name(tags),
        tags=tags,
        params=params,
        points=sorted(points.values(), key=lambda point: (point.time, point.name, point.step)),
        datasets=latest.get("datasets", []),
        status="RUNNING" if writing else (end or {}).get("status", "KILLED"),
        started=_milliseconds(first["time"]),
        ended=None if writing else _milliseconds(events[-1]["time"]),
        results={name: dict(_flat_metrics(values)) for name, values in results.items()},
        sources=_sources(folder) if whole else {},
        parent=_parent(folder, params),
        instances=instances(folder) if whole else "",
    )


def reference_results(folder: Path, tags: Mapping[str, str], reference: str) -> dict[str, Any]:
    """The results of the current reference run of the same data set, student, shot and seed.

    None for the reference itself, and until the reference is evaluated, whatever an earlier run of it left.
    """
    seed, shot, variant = folder, folder.parent, folder.parent.parent
    if variant.name == reference or tags.get("variant") == reference:
        return {}
    other = variant.parent / reference / shot.name / seed.name
    runs, current, training = _runs(other)
    finished = _finished(runs.get(current, []))
    return _results(other, finished[0]) if finished and not training else {}


def _finished(events: list[Event]) -> list[float]:
    """When a run finished; again after each repetition."""
    return [event["time"] for event in events if event["event"] == "end" and event.get("status") == "FINISHED"]


def _course(events: list[Event]) -> Iterator[Point]:
    """The journal's metrics: training under ``train/``, evaluation sets under their names."""
    for event in events:
        time = _milliseconds(event["time"])
        if event["event"] == "metrics":
            values = {f"train/{name}": value for name, value in event["metrics"].items()}
            if event.get("epoch") is not None:
                values["train/epoch"] = float(event["epoch"])
        elif event["event"] == "evaluation":
            values = {f"{event['set']}/{name}": value for name, value in event["metrics"].items()}
        else:
            continue
        for name, value in values.items():
            yield Point(name, int(event.get("step", 0)), value, time)


def _results(folder: Path, ended: float) -> dict[str, Any]:
    """metrics.json, if it belongs to this run and not to an earlier one.

    It does if it is newer than the run's first end by the machine's clock, or newer than the predictions by the file
    server's. (A run trained again under the same key has equal predictions, which are not evaluated again.)
    """
    path = layout.metrics(folder)
    results = _metrics(path)
    if not results:
        return {}
    written = path.stat().st_mtime
    predictions = [layout.predictions(folder, name) for name in results]
    newest = max((path.stat().st_mtime for path in predictions if path.exists()), default=math.inf)
    return results if written >= ended - CLOCK_SLACK or written >= newest else {}


def _metrics(path: Path) -> dict[str, Any]:
    """metrics.json without remarks; {} and a warning if one of its values is no finite number: none is trusted then."""
    if not path.exists():
        return {}
    try:
        read = files.read_json(path, "run snakemake --forcerun evaluate")
    except UserError as error:
        log.warning(f"{error}; its results are not tracked")
        return {}
    results = {name: _without_remarks(values) for name, values in read.items()}
    for name, values in results.items():
        wrong = next((each for each in _leaves(values, name) if not finite(each[1])), None)
        kind = "a finite number"
        if not isinstance(values, Mapping):
            wrong, kind = (name, values), "metrics by name"
        if wrong is not None:
            log.warning(
                f"{path}: {wrong[0]} is {str(wrong[1])[:40]}, not {kind}; its results are not tracked: "
                "run snakemake --forcerun evaluate"
            )
            return {}
    return results


def _without_remarks(values: Any) -> Any:
    return (
        {name: value for name, value in values.items() if name not in REMARKS}
        if isinstance(values, Mapping)
        else values
    )


def _leaves(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    """The values of a set with their dotted names."""
    if not isinstance(value, Mapping):
        yield name, value
        return
    for key, inner in value.items():
        yield from _leaves(inner, f"{name}.{key}")


def _gains(results: Mapping[str, Any], reference: Mapping[str, Any]) -> dict[str, float]:
    """``gain/<set>/<metric>``: points above the reference run."""
    gains = {}
    for name, values in results.items():
        for metric, value in values.items():
            other = reference.get(name, {}).get(metric)
            if metric not in COUNTS and isinstance(value, int | float) and isinstance(other, int | float):
                gains[f"gain/{name}/{metric}"] = round(value - other, 6)
    return gains


def _flat(results: Mapping[str, Any]) -> dict[str, float]:
    return {f"{name}/{metric}": value for name, values in results.items() for metric, value in _flat_metrics(values)}


def _flat_metrics(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat_metrics(value, f"{prefix}{name}/")
        elif isinstance(value, int | float) and name not in COUNTS:
            yield prefix + name, float(value)


def _params(first: Event, latest: Event, tags: Mapping[str, str]) -> dict[str, str]:
    """The first attempt's parameters, with additions of later ones: a run's parameters do not change."""
    names = ("shot", "seed", "variant", "label")  # charts use parameters as axes, not tags
    chosen = {name: tags[name] for name in names if name in tags}
    chosen |= _swept(tags)
    return {**chosen, **dict(_flat_params(latest.get("params", {}))), **dict(_flat_params(first.get("params", {})))}


def _swept(tags: Mapping[str, str]) -> dict[str, str]:
    """``sweep.<key>``: the values of a member of a sweep."""
    found = member_names.values(tags["label"], tags["sweep"]) if {"label", "sweep"} <= set(tags) else {}
    return {f"sweep.{key}": value for key, value in found.items()}


def _parent(folder: Path, params: Mapping[str, str]) -> str:
    """Equal for the seeds of one condition with equal parameters; MLflow never changes the parameters of a run."""
    shared = {name: value for name, value in params.items() if name != "seed"}
    return f"{MEAN}{files.digest([str(folder.parent), shared])[:16]}"


def _flat_params(params: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested mappings as dotted keys; lists stay one value."""
    for name, value in params.items():
        if isinstance(value, Mapping) and value:
            yield from _flat_params(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _name(tags: Mapping[str, str]) -> str:
    """For example ``clip_td 300 s10 scenes_vqa``: the distinguishing parts first, since lists truncate long names."""
    seed = f"s{tags['seed']}" if "seed" in tags else ""
    parts = [
        tags.get("label") or tags.get("variant") or tags.get("method"),
        tags.get("shot"),
        seed,
        tags.get("dataset"),
    ]
    return " ".join(part for part in parts if part) or tags["run_key"]


def _sources(folder: Path) -> dict[Path, str]:
    candidates = [layout.run_config(folder), layout.provenance(folder), layout.journal(folder)]
    candidates += sorted((folder / "predictions").glob("*.parquet")) + sorted((folder / "scores").glob("*.parquet"))
    return {path: files.sha256(path) for path in candidates if path.is_file()}


def instances(folder: Path) -> str:
    """A hash of what is recorded of the instances of a run's data set; empty where they are not here."""
    dataset = folder.parents[3].name
    recorded = layout.instances_checksums(dataset)
    here = layout.instances(dataset).is_file() and recorded.is_file()
    return files.sha256(recorded)[:16] if here else ""


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)
