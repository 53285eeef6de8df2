import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlkd_steps.methods.schedules import SCHEDULES


@pytest.mark.parametrize(
    ("name", "values"),
    [("linear", [1, 0.75, 0]), ("constant", [1, 1, 1]), ("cosine", [1, (1 + math.sqrt(0.5)) / 2, 0])],
)
def test_values(name: str, values: list[float]) -> None:
    assert [SCHEDULES[name](t) for t in (0, 0.25, 1)] == pytest.approx(values)


@given(st.sampled_from(sorted(SCHEDULES)), st.floats(0, 1), st.floats(0, 1))
def test_no_schedule_rises_or_leaves_0_to_1(name: str, a: float, b: float) -> None:
    early, late = (SCHEDULES[name](t) for t in sorted((a, b)))
    assert 1 >= early >= late >= 0
