"""A finished run of the toy project, whose manifests name what they were made from as `prepare` and `split` do."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from toy_project import SETS, job, project

from vlkd_steps.core import files, layout
from vlkd_steps.datasets import instances
from vlkd_steps.sources import manifest
from vlkd_steps.steps import distill

__all__ = ["job", "project"]


@pytest.fixture
def recorded(project: Path) -> Path:
    """The toy project with real manifests."""
    table = pl.read_parquet(layout.instances("toy")).with_columns(group=pl.lit("")).to_arrow()
    instances.write(table.select(instances.SCHEMA.names).cast(instances.SCHEMA), layout.instances("toy"), "of the toy")
    source = instances.content_hash(layout.instances("toy"))
    splits = [layout.train_split("toy", "30", seed) for seed in (1, 2)] + [layout.eval_split("toy", s) for s in SETS]
    for path in map(layout.split_manifest, splits):
        files.write_json(path, json.loads(path.read_text()) | {"source": source})
    manifest.write(layout.raw("toy"), "toy")
    return project


@pytest.fixture
def run(recorded: Path, job: dict[str, Any]) -> Path:
    """The folder of a finished run, from the project's root."""
    assert distill.main(["--config", json.dumps(job)]) == 0
    return layout.run("toys", "toy", "vilt_toy", "finetune", "30", 1)
