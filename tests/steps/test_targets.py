"""The step `targets` on a data set whose visual words are known."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from threadpoolctl import threadpool_info, threadpool_limits
from toy_project import project

from vlkd_steps.config import targets as of_config
from vlkd_steps.core import files, layout
from vlkd_steps.steps import targets
from vlkd_steps.teachers.features.store import Writer
from vlkd_steps.teachers.targets import compute, target_file
from vlkd_steps.teachers.targets.visual_words import Measured

__all__ = ["project"]
NEAR = {"thing": 0.0, "color": 0.1, "small": 1.0, "red": 2.0}
"""Angles between a content word and every image: what can be seen is farthest, as with an uncentred CLIP."""
TARGETS = {"words": {"selection": "relevance", "relevance": "plain", "tokens_per_text": 1}, "weights": None}


@pytest.fixture
def inverted(project: Path) -> None:
    """A store in which filler words are nearer to all images than the words for what they show."""
    frame = pl.read_parquet(layout.instances("toy"))
    images, texts, words = frame["image_id"].to_list(), sorted(set(frame["text"])), sorted(NEAR)
    writer = Writer(layout.features("clip_toy", "toy"), {"weights": "of the toy"}, "float32")
    writer.add("image", files.digest("image"), np.tile([1.0, 0.0], (len(images), 1)))
    writer.add("text", files.digest("text"), np.tile([0.0, 1.0], (len(texts), 1)))
    writer.add("word", files.digest("word"), np.array([[np.cos(NEAR[word]), np.sin(NEAR[word])] for word in words]))
    rows = [("image", name, row) for row, name in enumerate(images)]
    rows += [("text", name, row) for row, name in enumerate(texts)]
    rows += [("word", name, row) for row, name in enumerate(words)]
    writer.finish(pl.DataFrame(rows, schema=["kind", "name", "row"], orient="row"), dim=2, teacher="clip_toy")


def run(visual: list[str], seeds: tuple[int, ...] = (1,)) -> Path:
    dataset = {"name": "toy"} | ({"visual_words": visual} if visual else {})
    job = {"dataset": dataset, "teacher": {"name": "clip_toy", "kind": "clip"}, "shot": "30", "seeds": seeds}
    assert targets.main(["--config", json.dumps(job | {"targets": TARGETS})]) == 0
    return layout.targets("toy", "clip_toy", "30", 1, of_config.key(TARGETS))


def test_an_inverted_selection_is_measured_noted_and_warned_of(
    inverted: None, capsys: pytest.CaptureFixture[str]
) -> None:
    path = run(["red", "small", "teal"])
    # Of 30 questions 15 are "is the small thing in here red", with two visual words of three; none of them is chosen.
    noted = files.read_json(layout.targets_provenance(path))
    assert {**noted["visual_words"], "error": 0} == {
        "share": 0.0,
        "by_chance": 0.333333,
        "error": 0,
        "auc": 0.0,
        "texts": 15,
        "settings": TARGETS["words"],
    }
    assert "git" in noted
    done, warning = capsys.readouterr().err.splitlines()[-2:]
    assert "0.0% of them visual (33.3% by chance), AUC of relevance 0.000 over 15 texts" in done
    assert "[targets toy clip_toy 30 s1] warning: 0.0% of the chosen words are visual, 33.3 points" in warning
    ids = pl.read_parquet(path)["instance_id"].to_list()
    read = target_file.read(path, layout.targets_checksums(path), ids)
    assert read.measured == Measured.recorded(layout.targets_provenance(path))
    assert read.numbers() == {
        "chosen_words": pytest.approx(30 / (15 * 2 + 15 * 3)),
        "visual_words": 0.0,
        "visual_words_by_chance": 0.333333,
        "relevance_auc": 0.0,
    }


def test_visual_words_change_no_byte_of_the_targets(inverted: None, capsys: pytest.CaptureFixture[str]) -> None:
    path = run(["red", "small"])
    before = path.read_bytes()
    capsys.readouterr()
    assert run([]) == path
    assert path.read_bytes() == before
    assert "visual_words" not in files.read_json(layout.targets_provenance(path))
    assert "warning" not in capsys.readouterr().err


def test_numpy_computes_in_one_thread_whatever_the_cores(inverted: None, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: set[int] = set()
    of_the_step = compute.compute

    def watched(*arguments: Any) -> Any:
        threads.update(each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas")
        return of_the_step(*arguments)

    monkeypatch.setattr(compute, "compute", watched)
    with threadpool_limits(2):
        run([])
    assert threads == {1}
