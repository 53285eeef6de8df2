"""Runs that train nothing, seed by seed."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from toy_project import write_instances, write_split

from vlkd_steps.core import layout
from vlkd_steps.runs import seeds
from vlkd_steps.runs.run_dir import RunDir


@pytest.fixture
def captions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A corpus whose commonest caption is another one in each seed's split."""
    monkeypatch.chdir(tmp_path)
    rows = [{"instance_id": f"i{n}", "image_id": f"m{n}", "text": ["blue", "red"][n % 2]} for n in range(10)]
    write_instances("captions", pl.DataFrame(rows))
    write_split(layout.train_split("captions", "3", 1), pl.Series(["i1", "i3", "i0"]))
    write_split(layout.train_split("captions", "3", 2), pl.Series(["i0", "i2", "i1"]))
    write_split(layout.eval_split("captions", "dev"), pl.Series(["i8", "i9"]))
    return tmp_path


def job(**more: Any) -> dict[str, Any]:
    return {
        "experiment": "baselines",
        "dataset": {"name": "captions", "task": "captioning", "evaluation_sets": ["dev"]},
        "student": {"name": "none", "kind": "bart", "vocabulary": "scenes"},
        "variant": "commonest",
        "method": {"name": "baseline", "by": "commonest", "given": "nothing"},
        "teacher": None,
        "shot": "3",
        "seeds": [1, 2],
        "training": {"steps": 1, "batch_size": 1, "learning_rate": 0.1, "device": "cpu", "precision": "fp32"},
        **more,
    }


def test_a_seed_answers_from_its_own_split_whichever_seeds_run_beside_it(captions: Path) -> None:
    alone = job(experiment="alone", seeds=[2])
    assert seeds.train_seeds(job()) == seeds.train_seeds(alone) == 0

    def said(config: dict[str, Any], seed: int) -> list[str]:
        return pl.read_parquet(RunDir.of(config, seed).predictions("dev"))["answer"].to_list()

    assert said(job(), 1) == ["red", "red"]
    assert said(job(), 2) == said(alone, 2) == ["blue", "blue"]
