"""Which answers of squeue are used again."""

import time
from pathlib import Path

import pytest

from vlkd_steps.core import file_system
from vlkd_steps.launch.slurm import queue


def test_an_answer_is_used_again_for_the_interval_and_not_once_the_clock_was_set_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []
    now = time.time()
    monkeypatch.setattr(file_system, "user_folder", lambda: tmp_path)
    monkeypatch.setattr(queue, "listed", lambda: asked.append(now) or [])
    monkeypatch.setattr(queue.time, "time", lambda: now)
    jobs = queue.Queue(10)
    for moved, queries in ((0, 1), (5, 1), (6, 2), (-3600, 3), (1, 3)):
        now += moved
        assert jobs.look() == {}
        assert len(asked) == queries
