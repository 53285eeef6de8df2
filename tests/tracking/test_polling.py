"""How often run folders are polled."""

import signal
import subprocess
import sys

import pytest

from vlkd_steps.tracking import polling


def test_all_folders_are_polled_as_often_as_a_share_of_a_core_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    pace = polling.Pace()
    assert pace.due
    spent = iter([1.0, 1.5])
    monkeypatch.setattr(polling.time, "process_time", lambda: next(spent))
    monkeypatch.setattr(polling.time, "monotonic", lambda: 100.0)
    with pace.spending():
        pass
    monkeypatch.setattr(polling.time, "monotonic", lambda: 100.0 + 0.4 / polling.SHARE)
    assert not pace.due
    monkeypatch.setattr(polling.time, "monotonic", lambda: 100.0 + 0.6 / polling.SHARE)
    assert pace.due


def test_a_process_has_ended_before_its_parent_has_asked_how() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert process.stdin is not None
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        stop = polling.Stop(process.pid)
        assert not stop.requested
        process.stdin.close()
        stop.wait(20)
        assert stop.requested
    finally:
        process.wait()
        for number, handler in before.items():
            signal.signal(number, handler)
