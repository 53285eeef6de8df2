"""What an attempt says when it has saved."""

import logging
import signal
import subprocess

import pytest

from vlkd_steps.core import step
from vlkd_steps.launch.slurm import attempt


@pytest.mark.parametrize(("status", "requeued"), [(0, True), (1, False)])
def test_it_is_said_to_be_requeued_once_slurm_has_agreed(
    status: int, requeued: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    answer = subprocess.CompletedProcess([], status, "", "Requested operation not permitted")
    monkeypatch.setattr(subprocess, "run", lambda command, **options: answer)
    monkeypatch.setattr(signal, "signal", lambda number, handler: None)
    monkeypatch.setattr(step.log, "propagate", True)
    with caplog.at_level(logging.INFO):
        attempt.requeue()
    assert ("saved; requeued" in caplog.text) == requeued
    assert ("not permitted" in caplog.text) != requeued
