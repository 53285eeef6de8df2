"""Runs as training leaves them, an empty MLflow database, and an experiment's finished results."""

from synthetic_report import config, finished
from tracked_runs import empty_database, make_instances, make_run, subprocess_environment, tracked, uri

__all__ = [
    "config",
    "empty_database",
    "finished",
    "make_instances",
    "make_run",
    "subprocess_environment",
    "tracked",
    "uri",
]
