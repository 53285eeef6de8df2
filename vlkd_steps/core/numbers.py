"""Numbers from outside: what counts as one, and which batches can be shared."""

import math
from typing import Any


def finite(value: Any) -> bool:
    """Whether a JSON value is a number that a float can hold: no text, no boolean, no NaN or infinity."""
    try:
        return type(value) in (int, float) and math.isfinite(value)
    except OverflowError:  # a whole number of more than 308 digits
        return False


def unequal_parts(batch_size: int, processes: int) -> str:
    """Why processes cannot share a batch in equal parts, and what to write; nothing if they can."""
    if not (rest := batch_size % processes):
        return ""
    return (
        f"batch_size is {batch_size}, which {processes} processes cannot share in equal parts; write a multiple of "
        f"{processes}, such as {batch_size - rest or processes}"
    )
