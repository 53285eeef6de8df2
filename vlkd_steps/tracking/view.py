"""How an experiment presents itself in MLflow's web page: its description and its compare view."""

from collections.abc import Sequence

from vlkd_steps.tracking.records import Record


def experiment_tags(experiment: str, records: Sequence[Record], reference: str) -> dict[str, str]:
    """Tags of the MLflow experiment that hold its description and views."""
    return {
        "mlflow.experimentKind": "custom_model_development",  # else the page asks what kind it is
        "mlflow.note.content": experiment,
    }
