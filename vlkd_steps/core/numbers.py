"""Numbers from outside: what counts as one, and which batches can be shared."""

import math
import re
from typing import Any

DECIMAL = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")
"""A number as texts hold it; Python's `float` takes 1_0, digits of other scripts, inf and nan as well."""


def finite(value: Any) -> bool:
    """Whether a JSON value is a number that a float can hold: no text, no boolean, no NaN or infinity."""
    try:
        return type(value) in (int, float) and math.isfinite(value)
    except OverflowError:  # a whole number of more than 308 digits
        return False


def decimal(text: str) -> float:
    """The finite number that a text holds, maybe between spaces; NaN if it holds none."""
    value = float(text) if DECIMAL.fullmatch(text.strip(" ")) else math.nan
    return value if math.isfinite(value) else math.nan


def unequal_parts(batch_size: int, processes: int) -> str:
    """Why processes cannot share a batch in equal parts, and what to write; nothing if they can."""
    if not (rest := batch_size % processes):
        return ""
    return (
        f"batch_size is {batch_size}, which {processes} processes cannot share in equal parts; write a multiple of "
        f"{processes}, such as {batch_size - rest or processes}"
    )
