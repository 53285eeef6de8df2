"""A project of a few drawn images and questions, small enough to train in a second."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image
from sealed import seal

from vlkd_steps.core import files, layout
from vlkd_steps.datasets import instances
from vlkd_steps.sources import manifest

COLORS = {"red": (220, 30, 30), "green": (30, 200, 30), "blue": (30, 30, 220), "grey": (128, 128, 128)}
LABELS = sorted(COLORS)
SETS = ("dev", "test")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, holding what `prepare` and `split` would have made of data set ``toy``."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "words.txt").write_text("what color is the thing in here small large\n" + "\n".join(COLORS))
    rows = []
    generator = np.random.default_rng(0)
    for split, count in (("train", 40), ("dev", 24), ("test", 30)):
        for number in range(count):
            color = LABELS[number % len(LABELS)]
            image_id = f"{split}{number // 2}"
            path = Path("data/raw/toy") / f"{split}{number}.png"
            pixels = np.clip(np.array(COLORS[color]) + generator.integers(-25, 25, (32, 32, 3)), 0, 255)
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels.astype(np.uint8)).save(path)
            rows.append(
                {
                    "instance_id": f"{split}-{number:03d}",
                    "split": split,
                    "image_id": f"{image_id}-{number}",
                    "image_path": str(path),
                    "text": ["what color is the thing", "is the small thing in here red"][number % 2],
                    "label": LABELS.index(color),
                    "soft_labels": [{"label": LABELS.index(color), "score": 1.0}],
                }
            )
    frame = pl.DataFrame(rows)
    manifest.write(layout.raw("toy"), "toy")
    write_instances("toy", frame)
    for seed in (1, 2):
        write_split(layout.train_split("toy", "30", seed), frame.filter(pl.col("split") == "train")["instance_id"][:30])
    for name in SETS:
        write_split(layout.eval_split("toy", name), frame.filter(pl.col("split") == name)["instance_id"])
    return tmp_path


def write_instances(dataset: str, frame: pl.DataFrame) -> None:
    """What `prepare` leaves of a data set of four colours; columns that the frame lacks are empty."""
    empty: dict[str, Any] = {"choices": [], "label": None, "soft_labels": [], "extra": "{}"}
    absent = set(instances.SCHEMA.names) - set(frame.columns)
    table = (
        frame.with_columns(pl.lit(empty.get(name, "")).alias(name) for name in sorted(absent))
        .select(instances.SCHEMA.names)
        .to_arrow()
        .cast(instances.SCHEMA)
    )
    instances.write(table, layout.instances(dataset), "the images' hash")
    files.write_json(layout.labels(dataset), LABELS)
    seal()


def write_split(path: Path, ids: pl.Series) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pl.DataFrame({"instance_id": ids}).write_parquet(path)
    seal()


@pytest.fixture
def job() -> dict[str, Any]:
    """Configuration of a `distill` job that fine-tunes a very small ViLT with dropout for 12 steps."""
    return {
        "experiment": "toys",
        "dataset": {"name": "toy", "task": "vqa", "evaluation_sets": list(SETS)},
        "student": {
            "name": "vilt_toy",
            "kind": "vilt",
            "vocabulary": "words.txt",
            "architecture": {
                "hidden_size": 16,
                "num_hidden_layers": 1,
                "num_attention_heads": 2,
                "intermediate_size": 32,
                "hidden_dropout_prob": 0.1,
                "image_size": 32,
                "patch_size": 16,
                "max_position_embeddings": 16,
            },
        },
        "variant": "finetune",
        "method": {"name": "finetune"},
        "teacher": None,
        "shot": "30",
        "seeds": [1],
        "training": {
            "steps": 12,
            "batch_size": 8,
            "learning_rate": 0.005,
            "evaluate_every": 6,
            "checkpoint_every": 4,
            "precision": "fp32",
            "device": "cpu",
        },
    }


@pytest.fixture
def argv(job: dict[str, Any]) -> list[str]:
    return ["--config", json.dumps(job)]
