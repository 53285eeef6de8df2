"""Runs that train nothing, seed by seed."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from toy_project import write_instances, write_split

from vlkd_steps.core import layout
from vlkd_steps.core.errors import UserError
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


@pytest.fixture
def questions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Questions whose answers differ between the split that is called train and the one that is trained on."""
    monkeypatch.chdir(tmp_path)
    answers = {"train": "red", "train_clean": "blue", "val": "green"}
    rows = [
        {
            "instance_id": f"{split}{n}",
            "image_id": f"{split}{n}",
            "split": split,
            "group": "what",
            "extra": json.dumps({"multiple_choice_answer": answer}),
        }
        for split, answer in answers.items()
        for n in range(2)
    ]
    write_instances("mine", pl.DataFrame(rows))
    write_split(layout.eval_split("mine", "dev"), pl.Series(["val0", "val1"]))
    write_split(layout.train_split("mine", "3", 1), pl.Series(["train_clean0"]))
    return tmp_path


def of_questions(**more: Any) -> dict[str, Any]:
    return job(dataset={"name": "mine", "task": "vqa", "evaluation_sets": ["dev"], **more}, seeds=[1])


@pytest.mark.usefixtures("questions")
def test_the_answers_are_those_of_the_split_that_is_trained_on() -> None:
    config = of_questions(train="train_clean")
    assert seeds.train_seeds(config) == 0
    assert pl.read_parquet(RunDir.of(config, 1).predictions("dev"))["answer"].to_list() == ["blue", "blue"]


@pytest.mark.usefixtures("questions")
def test_a_data_set_without_training_questions_is_named() -> None:
    with pytest.raises(UserError, match=r"mine has no training questions \(role `train`\)"):
        seeds.train_seeds(of_questions(train="val_clean"))
