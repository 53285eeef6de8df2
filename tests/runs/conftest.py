"""The toy project of a few drawn images, for tests that train on it."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml
from sealed import seal
from toy_project import argv, job, project

from vlkd_steps.core import files, layout
from vlkd_steps.data.words import split_words
from vlkd_steps.teachers.features.store import Writer

__all__ = ["argv", "job", "project"]


@pytest.fixture
def teacher(project: Path) -> None:
    """Random features of width 8 for every image, text and word of the toy data set."""
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


@pytest.fixture
def clip_td(job: dict[str, Any], root: Path) -> dict[str, Any]:
    method = yaml.safe_load((root / "vlkd_steps/conf/method/clip_td.yaml").read_text()) | {"adaptive_steps": 4}
    return job | {"variant": "clip_td", "method": method, "teacher": {"name": "clip_toy", "kind": "clip"}}


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
