"""The toy project of a few drawn images, for tests that train on it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml
from sealed import seal
from toy_project import argv, job, project

from vlkd_steps.config import targets as of_config
from vlkd_steps.core import files, layout
from vlkd_steps.data.words import split_words
from vlkd_steps.methods import objective
from vlkd_steps.steps import targets
from vlkd_steps.teachers.features.store import Writer

__all__ = ["argv", "job", "project"]


@pytest.fixture
def teacher(project: Path, clip_td: dict[str, Any]) -> None:
    """Random features of width 8 for every image, text and word of the toy data set, and clip_td's targets of it."""
    frame = pl.read_parquet(layout.instances("toy"))
    texts = frame["text"].unique(maintain_order=True).to_list()
    words = sorted({word for text in texts for word in split_words(text)})
    names = {"image": frame["image_id"].to_list(), "text": texts, "word": words}
    writer = Writer(layout.features("clip_toy", "toy"), {"weights": "of the toy"}, "float32")
    generator = np.random.default_rng(0)
    for kind, rows in names.items():
        writer.add(kind, files.digest(kind), generator.normal(size=(len(rows), 8)))
    counts = np.array([[len(split_words(text))] for text in texts], np.int64)
    writer.add("state", files.digest("state"), generator.normal(size=(int(counts.sum()), 6)))
    writer.add("count", files.digest("count"), counts)
    rows = [(kind, name, row) for kind, found in names.items() for row, name in enumerate(found)]
    writer.finish(pl.DataFrame(rows, schema=["kind", "name", "row"], orient="row"), dim=8, teacher="clip_toy")
    compute_targets(clip_td | {"seeds": [1, 2]})


def compute_targets(job: dict[str, Any]) -> None:
    """What the phase `targets` makes for the runs of a `distill` job."""
    settings = objective.checked(job["method"], job["training"]["steps"])
    config = {key: job[key] for key in ("dataset", "teacher", "shot", "seeds")} | {
        "targets": of_config.wanted(settings)
    }
    assert targets.main(["--config", json.dumps(config)]) == 0


@pytest.fixture
def clip_td(job: dict[str, Any], root: Path) -> dict[str, Any]:
    method = yaml.safe_load((root / "vlkd_steps/conf/method/clip_td.yaml").read_text()) | {"adaptive_steps": 4}
    return job | {"variant": "clip_td", "method": method, "teacher": {"name": "clip_toy", "kind": "clip"}}


@pytest.fixture
def mad(teacher: None, clip_td: dict[str, Any], root: Path) -> dict[str, Any]:
    """mad with whitened targets, and weights where a teacher is above the prior; its teachers are the two towers."""
    method = yaml.safe_load((root / "vlkd_steps/conf/method/mad.yaml").read_text())
    method |= {"adaptive_steps": 1, "whitening": "pca", "distance": "cosine", "weight": "above_prior"}
    made = clip_td | {"variant": "mad", "method": method}
    compute_targets(made)
    return made


@pytest.fixture
def model(project: Path, job: dict[str, Any]) -> dict[str, Any]:
    """Configuration of a `pretrain` job on captions that name the colour of each toy image."""
    frame = pl.read_parquet(layout.instances("toy"))
    colors = pl.Series(["blue", "green", "grey", "red"])
    captions = frame.with_columns(
        text="a " + colors.gather(frame["label"]) + " thing in here",
        label=pl.lit(None, pl.Int64),
        soft_labels=pl.lit([], frame.schema["soft_labels"]),
    )
    captions.write_parquet(layout.instances("toy_captions"))
    seal()
    settings = {"corpus": "toy_captions", "split": "train", "seed": 0, "mask_rate": 0.3, "mismatched": 0.5}
    recipe = {"steps": 8, "batch_size": 16, "learning_rate": 0.01, "precision": "fp32", "device": "cpu"}
    return job["student"] | {"pretrain": settings | recipe}
