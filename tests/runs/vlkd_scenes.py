"""A project of few drawn scenes with captions and questions, and VLKD runs on it that are small enough for a test."""

import json
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from shared_folders import made_once

from vlkd_steps.core import layout
from vlkd_steps.runs import seeds
from vlkd_steps.runs.run_dir import RunDir
from vlkd_steps.steps import download, prepare, split
from vlkd_steps.teachers.features import extraction
from vlkd_steps.teachers.models import clip

ROOT = Path(__file__).resolve().parents[2]
CONF = ROOT / "vlkd_steps" / "conf"
SMALL = {"train": 40, "dev": 6, "test": 6, "unseen_pairs": 2, "other_style": 2, "pretrain": 2}
TINY = {
    "d_model": 32,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "max_position_embeddings": 80,
    "dropout": 0.1,
}


def conf(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((CONF / f"{name}.yaml").read_text(encoding="utf-8"))
    return found


def make_scenes(folder: Path) -> None:
    """A project with prepared captions and questions, and stored features."""
    folder.mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert download.main(["--config", json.dumps({"source": conf("source/scenes") | SMALL})]) == 0
        for name in ("scenes_wide_captions", "scenes_vqa"):
            dataset = conf(f"dataset/{name}") | {"allow_leaks": []}
            assert prepare.main(["--config", json.dumps({"dataset": dataset})]) == 0
            sets = {"role": "eval", "dataset": dataset | {"evaluation_sets": ["dev"]}}
            assert split.main(["--config", json.dumps(sets)]) == 0
            train = {"role": "train", "dataset": dataset, "shots": ["full", 8], "seeds": [1]}
            assert split.main(["--config", json.dumps(train)]) == 0
            rows = pl.read_parquet(layout.instances(name)).filter(pl.col("split") == "train")
            teacher = conf("teacher/clip_scenes")
            where = layout.features("clip_scenes", name)
            extraction.extract(
                clip.load(teacher), rows.select("image_id", "image_path", "text"), where, teacher, "test"
            )


@pytest.fixture
def project(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: a copy of that project."""
    folder = tmp_path / "scenes"
    shutil.copytree(made_once("vlkd_scenes/project", tmp_path_factory, make_scenes), folder)
    monkeypatch.chdir(folder)
    return folder


def job(**more: Any) -> dict[str, Any]:
    training = {"steps": 6, "batch_size": 8, "learning_rate": 1e-3, "checkpoint_every": 2, "device": "cpu"}
    return {
        "experiment": "test",
        "dataset": {"name": "scenes_wide_captions", "task": "captioning", "evaluation_sets": []},
        "student": {"name": "tiny", "kind": "bart", "vocabulary": "scenes", "architecture": TINY},
        "variant": "vlkd",
        "method": conf("method/vlkd") | more.pop("method", {}),
        "teacher": conf("teacher/clip_scenes"),
        "shot": "full",
        "seeds": [1],
        "training": training | more.pop("training", {}) | {"precision": "fp32", "threads": 1},
        **more,
    }


def train(config: dict[str, Any], status: int = 0) -> RunDir:
    """Run a job; returns the folder of its one run."""
    assert seeds.train_seeds(config) == status
    return RunDir.of(config, 1)


def events(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]
