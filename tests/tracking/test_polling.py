"""How often run folders are polled."""

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
