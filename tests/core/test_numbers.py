import math
from typing import Any

import pytest

from vlkd_steps.core.numbers import finite


@pytest.mark.parametrize("value", [0, -5, 1e300, 10**300, 0.5])
def test_numbers(value: Any) -> None:
    assert finite(value)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 10**400, "1", None, True, [1], {}])
def test_no_numbers(value: Any) -> None:
    assert not finite(value)
