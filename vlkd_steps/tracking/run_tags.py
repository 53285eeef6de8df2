"""A run's tags in MLflow, among them its description."""

from vlkd_steps.core import markdown
from vlkd_steps.tracking import cost
from vlkd_steps.tracking.records import MEAN_OVER, Record


def of(record: Record) -> dict[str, str]:
    tags = dict(record.tags)
    tags["mlflow.runName"] = record.name
    tags["mlflow.source.name"] = "vlkd_steps.steps.distill"
    tags["mlflow.source.type"] = "LOCAL"
    tags["mlflow.note.content"] = note(record)
    if "git_commit" in tags:
        tags["mlflow.source.git.commit"] = tags["git_commit"]
    return tags


def note(record: Record) -> str:
    """A run's description: what it is, its folder, its cost and its results."""
    lines = [f"`{record.folder}`", ""]
    if MEAN_OVER in record.tags:
        lines += [
            f"Mean over the seeds {record.tags['seeds']}" if record.tags["seeds"] else "No run has results yet",
            "",
        ]
    if spent := _spent(record):
        lines += [spent, ""]
    if record.results:
        gains = {
            point.name.removeprefix("gain/"): point.value for point in record.points if point.name.startswith("gain/")
        }
        body = []
        for name, values in record.results.items():
            for metric, value in values.items():
                if "/" not in metric:
                    gain = gains.get(f"{name}/{metric}")
                    body.append((name, metric, f"{value:.2f}", "" if gain is None else f"{gain:+.2f}"))
        lines += markdown.table(("evaluation set", "metric", "value", "gain over the reference, same seed"), body)
    return "\n".join(lines)


def _spent(record: Record) -> str:
    """For example ``0.5 GPU-hours, 61 % of its CPU time used, 2 attempts, Slurm 17 on node3``."""
    numbers = {point.name: point.value for point in record.points if point.name.startswith("cost/")}
    used = numbers.get("cost/cpu_efficiency")
    attempts, job = record.tags.get("attempts", "1"), record.tags.get("slurm_job")
    parts = [
        cost.hours(numbers.get("cost/core_hours"), numbers.get("cost/gpu_hours")),
        "" if used is None else f"{100 * used:.0f} % of its CPU time used",
        f"{attempts} attempts" if attempts != "1" else "",
        f"Slurm {job} on {record.tags.get('slurm_node', 'a node')}" if job else "",
    ]
    return ", ".join(part for part in parts if part)
