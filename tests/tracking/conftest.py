"""Runs as training leaves them, and an empty MLflow database."""

from tracked_runs import empty_database, make_instances, make_run, subprocess_environment, tracked, uri

__all__ = ["empty_database", "make_instances", "make_run", "subprocess_environment", "tracked", "uri"]
