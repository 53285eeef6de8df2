from typing import Any

import pytest

from vlkd_steps.reporting import table


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"gain": 1.0, "gain_low": -0.04, "gain_high": 2.06}, "[0.0, 2.1]"),
        ({"gain": 1.0, "seeds": "10"}, "(one seed)"),
        ({"gain": 0.0}, "(no spread)"),
        ({}, ""),
    ],
)
def test_an_interval_or_why_there_is_none(changes: dict[str, Any], expected: str) -> None:
    assert table.interval({"gain": None, "gain_low": None, "seeds": "10 11 12", **changes}) == expected
