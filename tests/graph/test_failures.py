"""The end of a failed job's log."""

import os
import time
from pathlib import Path

import pytest

from vlkd_steps.graph import failures


@pytest.mark.parametrize("ahead", [-3600.0, 0.0, 3600.0])
def test_a_log_of_this_run_is_known_by_its_file_server_whose_clock_may_differ(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ahead: float
) -> None:
    """`ahead`: seconds by which the clock of this machine is ahead of the file server's."""
    old, new = tmp_path / "old.log", tmp_path / "new.log"
    old.write_text("of an earlier run\n")
    os.utime(old, (time.time() - 60, time.time() - 60))
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + ahead)
    started = time.time() - 1
    new.write_text("first\n\nlast\n")
    assert failures.tail(new, started, 8) == ["first", "last"]
    assert failures.tail(old, started, 8) == [failures.NOTHING]
    assert failures.tail(tmp_path / "missing" / "none.log", started, 8) == [failures.NOTHING]
