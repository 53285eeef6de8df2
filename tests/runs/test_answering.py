"""The answers to a set that is too large to be asked at once."""

import os
import signal
import tracemalloc
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from vlkd_steps.config.extra_evals import Evaluation
from vlkd_steps.core.interruption import Interrupted, StopRequest
from vlkd_steps.runs import answering, baselines, vlkd

QUESTIONS = [f"question {number}" for number in range(5)]


class Echo:
    """Answers with the question; a signal comes while it answers for the second time."""

    def __init__(self, stop: StopRequest) -> None:
        self.stop, self.asked = stop, list[str]()

    def answers(self, rows: pl.DataFrame, evaluation: Evaluation) -> list[str]:
        if self.asked:
            self.stop.signal_number = signal.SIGTERM
        self.asked += rows["text"].to_list()
        return [text.upper() for text in rows["text"]]

    def measure(self, measure: Mapping[str, Any], seed: int) -> dict[str, Any]:
        return {}


def test_a_signal_within_a_set_loses_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = pl.DataFrame({"instance_id": QUESTIONS, "image_id": "a", "image_path": "a", "text": QUESTIONS, "group": ""})
    monkeypatch.setattr(answering, "ROWS", 2)
    monkeypatch.setattr(answering, "rows_of", lambda evaluation: rows)
    finished: list[Path] = []
    run: Any = SimpleNamespace(predictions=lambda name: tmp_path / f"{name}.parquet", finish=finished.append)
    test = Evaluation("test", "d", "vqa", "test", {})
    stop = StopRequest()
    first, second = Echo(stop), Echo(StopRequest())
    with pytest.raises(Interrupted):
        answering.write(first, test, run, stop)
    assert not finished
    answering.write(second, test, run, StopRequest())
    assert first.asked + second.asked == QUESTIONS
    assert pl.read_parquet(tmp_path / "test.parquet")["answer"].to_list() == [text.upper() for text in QUESTIONS]
    assert list(tmp_path.iterdir()) == finished == [tmp_path / "test.parquet"]


def test_the_nearest_of_many_answers_are_found_in_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    v, u = generator.normal(size=(1000, 4)).astype(np.float32), generator.normal(size=(2000, 4)).astype(np.float32)
    unused: Any = None
    model = baselines.Nearest({"method": {"given": "nothing"}}, unused)
    model.eyes = lambda paths: torch.from_numpy(v)
    model.known["d"] = [str(number) for number in range(2000)], u
    rows = pl.DataFrame({"image_path": [""] * 1000, "group": ""})
    monkeypatch.setattr(baselines, "COSINES", 1 << 16)
    tracemalloc.start()
    found = model.answers(rows, Evaluation("test", "d", "vqa", "test", {}))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found == [str(number) for number in (v @ u.T).argmax(1)]
    assert peak < 2 << 20  # all cosines at once are 8 MB


def test_images_are_read_ahead_by_other_processes_and_once() -> None:
    asked: list[int] = []

    def embed_images(images: torch.Tensor) -> np.ndarray:
        asked.append(len(images))
        return images.numpy()

    teacher: Any = SimpleNamespace(load_image=lambda path: torch.tensor([os.getpid(), 0.0]), embed_images=embed_images)
    eyes = vlkd.Eyes(teacher)
    paths = [str(number) for number in range(70)]
    assert eyes([*paths, "0"]).shape == (71, 2)
    eyes(paths)
    assert asked == [64, 6]
    assert os.getpid() not in {int(row[0]) for row in eyes.known.values()}
