"""An experiment in MLflow's web page: its description, colours, and views of gains.

MLflow stores views that users share by link in tags of the experiment (observed in MLflow 3.17). We write two views of
the table (only parents, runs below their parents), and two of charts per data set and student, for the parents, which
have the means over seeds, and for the single runs. In charts each method has one colour, and gains come first. Versions
that do not support the tag show their default view.
"""

import dataclasses
import json
import statistics
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any
from urllib.parse import urlencode

from vlkd_steps import tasks
from vlkd_steps.core import markdown
from vlkd_steps.reporting.style import styles
from vlkd_steps.reporting.table import shot_order, titles
from vlkd_steps.tracking.records import MEAN_OVER, Record

VIEW = "mlflow.sharedViewState."
MEANS, NESTED = "means", "runs"  # the keys of the tables
LONGEST_TAG = 20_000  # characters that MLflow allows in an experiment's tag
COSTS = ("cost/gpu_hours", "cost/core_hours", "cost/cpu_efficiency")
NO_SECTION = "Model metrics"  # where MLflow's page puts names without a slash


def colours(records: Iterable[Record], reference: str) -> dict[str, str]:
    """The colour of each variant, as in the report, which leaves out variants whose runs are all superseded."""
    all_of = {(record.tags.get("variant", ""), record.tags.get("superseded")) for record in records}
    variants, current = {variant for variant, _ in all_of}, {variant for variant, old in all_of if old == "no"}
    looks = styles([*variants], reference) | styles([*current], reference)
    return {variant: style.light for variant, style in looks.items()}


def coloured(record: Record, colour_of: Mapping[str, str]) -> Record:
    """The record with its variant's colour; MLflow's charts take it from a tag."""
    colour = colour_of[record.tags.get("variant", "")]
    return dataclasses.replace(record, tags={**record.tags, "mlflow.runColor": colour})


def experiment_tags(
    experiment: str, records: Sequence[Record], means: Sequence[Record], reference: str
) -> dict[str, str]:
    """Tags of the MLflow experiment with its description and views.

    Args:
        means: the parents of the records (`seed_means`).
    """
    current = [record for record in records if record.tags.get("superseded") == "no"]
    tags = {
        "mlflow.experimentKind": "custom_model_development",  # otherwise the page prompts for it
        "mlflow.note.content": description(experiment, current, reference),
    }
    for dataset, student in subjects(current):
        tags[VIEW + view_key(dataset, student)] = json.dumps(gain_view(dataset, student, current, reference))
        tags[VIEW + means_key(dataset, student)] = json.dumps(means_view(dataset, student, means))
    tags[VIEW + MEANS] = json.dumps(means_table([each for each in means if each.tags["superseded"] == "no"]))
    tags[VIEW + NESTED] = json.dumps(nested_table(current))
    return tags


def description(experiment: str, records: Sequence[Record], reference: str) -> str:
    """Markdown: the experiment's content and its results on the main set, means over the seeds so far.

    As many tables as fit into a tag.
    """
    lines = [
        f"**{experiment}**: one run per data set, student, method, shot and seed, as the journals under "
        f"`runs/{experiment}/` have it. Intervals: `results/{experiment}/report.html`.",
        "",
    ]
    if spent := _spent(records):
        lines += [f"Cost so far: {spent}.", ""]
    text, left_out = "\n".join(lines), 0
    for table in _tables(records, reference):
        if len(text) + len(table) < LONGEST_TAG - 100:
            text += f"\n{table}"
        else:
            left_out += 1
    return f"{text}\nNot shown, since this place is too small: {left_out} more." if left_out else text


def _tables(records: Sequence[Record], reference: str) -> Iterator[str]:
    """For each data set, student and metric a table, shot x variant."""
    for dataset, student in subjects(records):
        chosen = [record for record in records if _subject(record) == (dataset, student)]
        for name in _Measured(chosen).compared:
            values, gains = _of_seeds(chosen, name), _of_seeds(chosen, f"gain/{name}")
            shots = sorted({shot for _, shot in values}, key=shot_order)
            variants = sorted({variant for variant, _ in values}, key=lambda variant: (variant != reference, variant))
            head = f"{dataset}, {student}: {_in_words(name)}, in brackets the gain over {reference}"
            lines = [f"{head} (once all these seeds have one)", ""]
            called = {record.tags.get("variant", ""): record.tags.get("label") for record in chosen}
            body = [
                [shot, *(_cell(values[variant, shot], gains[variant, shot]) for variant in variants)] for shot in shots
            ]
            lines += markdown.table(["shot", *(called[each] or each for each in variants)], body)
            yield "\n".join([*lines, ""])


def _spent(records: Sequence[Record]) -> str:
    """GPU-hours and core-hours of all runs that ended; empty if not recorded."""
    sums = {
        unit: sum(point.value for record in records for point in record.points if point.name == name)
        for name, unit in (("cost/gpu_hours", "GPU-hours"), ("cost/core_hours", "core-hours"))
    }
    attempts = sum(int(record.tags.get("attempts", 1)) for record in records)
    found = " and ".join(f"{value:.3g} {unit}" for unit, value in sums.items() if value)
    return f"{found} in {attempts} attempts of {len(records)} runs" if found else ""


def subjects(records: Iterable[Record]) -> list[tuple[str, str]]:
    """The pairs of data set and student for which methods are compared."""
    return sorted({_subject(record) for record in records})


def view_key(dataset: str, student: str) -> str:
    return f"gain-{dataset}-{student}"


def means_key(dataset: str, student: str) -> str:
    return f"means-{dataset}-{student}"


def compare_link(address: str, experiment_id: str, key: str) -> str:
    """The link that opens a view of charts: `means_key` or `view_key`."""
    query = {"compareRunsMode": "CHART", "viewStateShareKey": key}
    return f"{experiment_link(address, experiment_id)}&{urlencode(query)}"


def experiment_link(address: str, experiment_id: str) -> str:
    """The link that opens an experiment's runs."""
    return f"{address.rstrip('/')}/#/experiments/{experiment_id}/runs?workflowType=machine_learning"


def table_link(address: str, experiment_id: str, key: str) -> str:
    """The link that opens a table with our columns: `MEANS` or `NESTED`."""
    return f"{experiment_link(address, experiment_id)}&viewStateShareKey={key}"


def gain_view(dataset: str, student: str, records: Sequence[Record], reference: str) -> dict[str, Any]:
    """The state of MLflow's page: gains and accuracies over shots, gains as bars, then training curves.

    As many gains as fit into a tag, those on the main set first. For a task with several metrics their mean has no
    chart. Without gains there are the results alone.
    """
    chosen = [record for record in records if _subject(record) == (dataset, student)]
    measured = _Measured(chosen)
    several = any(name.rpartition("/")[2] in titles() for name in measured.names)
    gains = sorted(
        (name for name in measured.names if _is_gain(name) and not (several and name.endswith("/accuracy"))),
        key=lambda name: (f"/{measured.main}/" not in name, name),
    )
    while True:
        view = _gain_view(dataset, student, chosen, reference, measured, gains)
        if len(json.dumps(view)) <= LONGEST_TAG or not gains:
            return view
        gains = gains[:-1]


def _gain_view(
    dataset: str,
    student: str,
    records: Sequence[Record],
    reference: str,
    measured: "_Measured",
    gains: Sequence[str],
) -> dict[str, Any]:
    names, results = measured.names, [name.removeprefix("gain/") for name in gains] or measured.compared
    sections = {
        f"gain over {reference}, same seed": [_over_shots(name) for name in gains] + [_bars(name) for name in gains],
        "accuracy": [_over_shots(name) for name in results],
        "training": [_curve(name) for name in ("dev/accuracy", "train/loss") if name in names],
    }
    labelled, allocated = ["label"] * any("label" in each.tags for each in records), _allocation_tags(records)
    return _view(
        filtered=f"{_of(dataset, student)} and params.seed LIKE '%'",  # not the parents, which have none
        sections=sections,
        names=names,
        columns=[f"tags.`{name}`" for name in ("variant", *labelled, "shot", "seed", *allocated)]
        + [f"metrics.`{name}`" for name in [*gains, *results, *(name for name in COSTS if name in names)]],
        # If sorted by time, MLflow would put them below their parents.
        sorted_by=measured.gains or measured.compared or ["test/accuracy"],
    )


def means_view(dataset: str, student: str, means: Sequence[Record]) -> dict[str, Any]:
    """The state of MLflow's page for the parents: gains over swept values, over shots and as bars; or results."""
    chosen = [each for each in means if _subject(each) == (dataset, student) and each.tags["superseded"] == "no"]
    measured, swept = _Measured(chosen), _swept(chosen)
    gains, leading = measured.gains, measured.gains or measured.compared
    sections = {
        "what was swept": [_parallel(name, ("shot", *swept)) for name in leading if swept],
        "gain, mean over seeds": [_over_shots(name) for name in gains] + [_bars(name) for name in gains],
        "mean over seeds": [_over_shots(name) for name in measured.compared],
    }
    table = means_table(chosen)
    return _view(
        filtered=f"{_of(dataset, student)} and tags.{MEAN_OVER} = 'seeds'",
        sections=sections,
        names=measured.names,
        columns=table["selectedColumns"],
        sorted_by=leading,
    )


def means_table(means: Sequence[Record]) -> dict[str, Any]:
    """The state of MLflow's table for the parents, the largest gain first; without gains the best result."""
    measured = _Measured(means)
    spread = [f"{bound}/{name}" for name in measured.gains for bound in ("low", "high")]
    return _view(
        filtered=f"tags.superseded = 'no' and tags.{MEAN_OVER} = 'seeds'",
        columns=_columns(means, measured, [*spread, "seeds"], ()),
        sorted_by=measured.gains or measured.compared,
    )


def nested_table(records: Sequence[Record]) -> dict[str, Any]:
    """The state of MLflow's table for all runs, each below its parent, which MLflow does only in order of time."""
    columns = _columns(records, _Measured(records), (), ("seed",))
    return _view(filtered="tags.superseded = 'no'", columns=columns)


def _columns(records: Sequence[Record], measured: "_Measured", more: Sequence[str], params: Sequence[str]) -> list[str]:
    """Columns for results, gains, a run's condition, and swept values, as the page names them."""
    results = measured.compared or ["test/accuracy"]
    described = ["params.`variant`", "tags.`dataset`", "tags.`student`"]
    described += [f"params.`{name}`" for name in ("shot", *params, *_swept(records))]
    return [f"metrics.`{name}`" for name in (*results, *measured.gains, *more)] + described


def _of(dataset: str, student: str) -> str:
    return f"tags.dataset = '{dataset}' and tags.student = '{student}' and tags.superseded = 'no'"


class _Measured:
    """What some records measured: the names of all their metrics, and those by which methods are compared.

    Attributes:
        main: ``test`` if there is one, else the first evaluation set by name, `dev` last.
        compared: ``<main set>/<metric>``; for a task with several metrics, not their mean.
        gains: those of `compared` that there are.
    """

    def __init__(self, records: Sequence[Record]) -> None:
        self.names = {point.name for record in records for point in record.points}
        known = tasks.metrics()
        sets = {
            name for record in records for name, values in record.results.items() if known.keys() & values.keys()
        } or {"test"}  # without measures such as `forgetting`
        self.main = "test" if "test" in sets else min(sets, key=lambda name: (name == "dev", name))
        found = {name: name.partition("/")[2] for name in sorted(self.names) if name.startswith(f"{self.main}/")}
        found = {name: metric for name, metric in found.items() if "/" not in metric}
        several = [name for name, metric in found.items() if metric in titles()]
        self.compared = several or [name for name, metric in found.items() if metric in known] or [*found]
        self.gains = [f"gain/{name}" for name in self.compared if f"gain/{name}" in self.names]


def _in_words(name: str) -> str:
    """``test/q_ar`` as ``test Q→AR accuracy in percent``."""
    evaluation_set, _, metric = name.partition("/")
    found = tasks.metrics().get(metric)
    if found is None or not found.percentage:
        return f"{evaluation_set} {metric}"
    return f"{evaluation_set} {f'{found.title} ' if found.title else ''}accuracy in percent"


def _swept(records: Sequence[Record]) -> list[str]:
    return sorted({name for record in records for name in record.params if name.startswith("sweep.")})


def _view(
    filtered: str,
    columns: Sequence[str],
    sections: Mapping[str, Sequence[Mapping[str, Any]]] = MappingProxyType({}),
    names: Collection[str] = (),
    sorted_by: Sequence[str] = (),
) -> dict[str, Any]:
    """The state of MLflow's page.

    Args:
        sections: charts by title.
        names: the metrics whose other charts are collapsed.
        sorted_by: runs are sorted by falling values of the first of these; none: the newest come first.
    """
    folded = sorted({name.rpartition("/")[0] or NO_SECTION for name in names})
    return {
        "searchFilter": filtered,
        "orderByKey": f"metrics.`{sorted_by[0]}`" if sorted_by else "attributes.start_time",
        "orderByAsc": False,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": list(columns),
        "runsHiddenMode": "SHOW_ALL",
        "runsExpanded": {},
        "runsPinned": [],
        "runsHidden": [],
        "runsVisibilityMap": {},
        "viewMaximized": False,
        "runListHidden": False,
        "useGroupedValuesInCharts": True,
        "hideEmptyCharts": True,
        "groupBy": None,
        "groupsExpanded": {},
        "autoRefreshEnabled": True,
        "globalLineChartConfig": {"xAxisKey": "step", "lineSmoothness": 0, "selectedXAxisMetricKey": ""},
        "isAccordionReordered": True,  # keeps our order of sections
        "compareRunCharts": [
            {**chart, "metricSectionId": section} for section, charts in sections.items() for chart in charts
        ],
        "compareRunSections": [_section(name, shown=True) for name, charts in sections.items() if charts]
        + [_section(name, shown=False) for name in folded],  # MLflow adds a chart of every other metric there
    }


def _allocation_tags(records: Sequence[Record]) -> list[str]:
    """Those tags about cluster and GPU that any run has."""
    return [name for name in ("slurm_job", "slurm_node", "gpu") if any(name in record.tags for record in records)]


def _is_gain(name: str) -> bool:
    group, _, rest = name.partition("/")
    return group == "gain" and not rest.startswith("dev/") and rest.count("/") == 1


def _chart(kind: str, name: str) -> dict[str, Any]:
    return {"uuid": f"{kind} {name}", "type": kind, "displayName": name, "runsCountToCompare": 100,
            "deleted": False, "isGenerated": False}  # fmt: skip


def _over_shots(metric: str) -> dict[str, Any]:
    axes = {"xaxis": {"key": "shot", "type": "PARAM"}, "yaxis": {"key": metric, "type": "METRIC"}}
    return {**_chart("SCATTER", metric), **axes}


def _bars(metric: str) -> dict[str, Any]:
    return {**_chart("BAR", metric), "metricKey": metric}


def _parallel(metric: str, params: Sequence[str]) -> dict[str, Any]:
    chosen = {"selectedParams": list(params), "selectedMetrics": [metric], "showAllRuns": True}
    return {**_chart("PARALLEL", f"{metric} over what was swept"), **chosen}


def _curve(metric: str) -> dict[str, Any]:
    axes = {"xAxisKey": "step", "xAxisScaleType": "linear", "scaleType": "linear", "range": {}, "yAxisKey": "metric"}
    rest = {"lineSmoothness": 0, "selectedXAxisMetricKey": "", "yAxisExpressions": [], "ignoreOutliers": False,
            "useGlobalXaxisKey": True, "useGlobalLineSmoothing": True}  # fmt: skip
    return {**_chart("LINE", metric), "metricKey": metric, "selectedMetricKeys": [metric], **axes, **rest}


def _section(name: str, *, shown: bool) -> dict[str, Any]:
    return {"uuid": name, "name": name, "display": shown, "isReordered": True, "deleted": False, "isGenerated": False}


def _subject(record: Record) -> tuple[str, str]:
    return record.tags.get("dataset", ""), record.tags.get("student", "")


def _of_seeds(records: Iterable[Record], metric: str) -> defaultdict[tuple[str, str], list[float]]:
    """(variant, shot) -> the values of the seeds at their last steps; `dev` has values at others too."""
    values = defaultdict(list)
    for record in records:
        if of_steps := {point.step: point.value for point in record.points if point.name == metric}:
            values[record.tags.get("variant", ""), record.tags.get("shot", "")].append(of_steps[max(of_steps)])
    return values


def _cell(values: Sequence[float], gains: Sequence[float]) -> str:
    """The mean over seeds and, if all of these have one, the mean gain."""
    if not values:
        return ""
    gain = f" ({statistics.fmean(gains):+.1f})" if len(gains) == len(values) else ""
    return f"{statistics.fmean(values):.1f}{gain}"
