"""The toy project of a few drawn images, for tests that train on it."""

from toy_project import argv, job, project

__all__ = ["argv", "job", "project"]
