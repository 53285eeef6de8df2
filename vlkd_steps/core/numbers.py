"""What counts as a number in a file from outside."""

import math
from typing import Any


def finite(value: Any) -> bool:
    """Whether a JSON value is a number that a float can hold: no text, no boolean, no NaN or infinity."""
    try:
        return type(value) in (int, float) and math.isfinite(value)
    except OverflowError:  # a whole number of more than 308 digits
        return False
