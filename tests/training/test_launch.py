from collections.abc import Mapping
from typing import Any

import pytest

from vlkd_steps.errors import UserError
from vlkd_steps.training import launch


def job(config: Mapping[str, Any]) -> int:
    return config["status"]


def test_the_local_launcher_runs_the_job_here_and_returns_its_status(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VLKD_LAUNCHER", raising=False)
    assert launch.launch(job, {"status": 7}) == 7
    monkeypatch.setenv("VLKD_LAUNCHER", "local")
    assert launch.launch(job, {"status": 143}) == 143


def test_a_launcher_that_does_not_exist_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLKD_LAUNCHER", "moon")
    with pytest.raises(UserError, match="VLKD_LAUNCHER is 'moon', but there is no such launcher; available: local"):
        launch.launch(job, {"status": 0})
