"""The page of an experiment of synthetic runs, and that of one with sweeps."""

from synthetic_report import config, finished, html, swept

__all__ = ["config", "finished", "html", "swept"]
