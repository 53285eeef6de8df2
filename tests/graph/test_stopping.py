"""The end of a run on a stop signal."""

import signal
import subprocess
from types import SimpleNamespace

import psutil
import pytest
from snakemake.exceptions import WorkflowError
from snakemake.shell import shell

from vlkd_steps.graph import stopping


def _stop() -> stopping._Stop:
    return stopping._Stop(SimpleNamespace(_executor=None))


def test_a_step_that_ends_by_itself_meanwhile_keeps_no_other_step_from_its_signal() -> None:
    with subprocess.Popen(["true"]) as ended, subprocess.Popen(["sleep", "100"]) as running:
        ended.wait()
        _stop()._terminate([ended.pid, running.pid])
        assert running.wait(30) == -signal.SIGTERM


def test_nor_from_being_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    with subprocess.Popen(["true"]) as ended, subprocess.Popen(["sleep", "100"]) as running:
        listed = [psutil.Process(ended.pid), psutil.Process(running.pid)]
        ended.wait()
        monkeypatch.setattr(psutil.Process, "children", lambda self, recursive: listed)
        stopping._kill()
        assert running.wait(30) == -signal.SIGKILL


def test_a_step_that_starts_after_the_signal_is_told_too_and_each_once(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[int] = []
    monkeypatch.setattr(psutil.Process, "terminate", lambda self: told.append(self.pid))
    monkeypatch.setattr(shell, "_processes", {})
    stop = _stop()
    with subprocess.Popen(["sleep", "100"]) as first, subprocess.Popen(["sleep", "100"]) as second:
        try:
            for job, step in enumerate((first, second)):
                shell._processes[job] = step
                stop._terminate(stopping._steps())
                stop._terminate(stopping._steps())
            assert told == [first.pid, second.pid]
        finally:
            first.kill()
            second.kill()


def test_a_cluster_that_does_not_cancel_is_asked_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[list[str]] = []

    def cancel_jobs(active: list[SimpleNamespace]) -> None:
        asked.append([job.external_jobid for job in active])
        if len(asked) <= 2:
            raise WorkflowError("scancel: the controller does not answer")

    executor = SimpleNamespace(active_jobs=[SimpleNamespace(external_jobid="11")], cancel_jobs=cancel_jobs)
    stop = stopping._Stop(SimpleNamespace(_executor=executor))
    for _ in range(4):
        stop._cancel()
    executor.active_jobs.append(SimpleNamespace(external_jobid="12"))  # submitted just now
    stop._cancel()
    assert asked == [["11"], ["11"], ["11"], ["12"]]
    assert capsys.readouterr().err.count("the controller does not answer") == 1
    monkeypatch.setattr(stopping, "AGAIN", 0.0)
    stop.again.clear()
    stop._cancel()
    stop._cancel()
    assert asked[4:] == [["11", "12"]] * 2
