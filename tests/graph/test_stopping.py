"""The end of a run on a stop signal."""

import signal
import subprocess

import psutil
import pytest

from vlkd_steps.graph import stopping


@pytest.mark.parametrize(
    ("end", "number"), [(psutil.Process.terminate, signal.SIGTERM), (psutil.Process.kill, signal.SIGKILL)]
)
def test_a_step_that_ends_by_itself_meanwhile_keeps_no_other_step_from_its_signal(
    monkeypatch: pytest.MonkeyPatch, end, number: signal.Signals
) -> None:
    with subprocess.Popen(["true"]) as ended, subprocess.Popen(["sleep", "100"]) as running:
        listed = [psutil.Process(ended.pid), psutil.Process(running.pid)]
        ended.wait()
        monkeypatch.setattr(psutil.Process, "children", lambda self, recursive=False: listed)
        stopping._each(end)
        assert running.wait(30) == -number
