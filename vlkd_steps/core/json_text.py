"""JSON from outside: every text that is no JSON, or holds what no later step can use, is a ValueError.

Beside what `json` refuses: NaN and infinite numbers (1e999 too), numbers of more than 4,300 digits, half a surrogate
pair (no text: it cannot be written as UTF-8), nesting beyond what Python's parser takes, and a key that an object holds
twice, of which `json` would take the last value.
"""

import json
import math
from typing import Any


def loads(text: str) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: see above; `json.JSONDecodeError` where the position is known.
    """
    position = len(text) - len(text.lstrip(" \t\n\r"))
    value, end = at(text, position)
    if rest := text[end:].lstrip(" \t\n\r"):
        raise json.JSONDecodeError("text after the end of the JSON value", text, len(text) - len(rest))
    return value


def at(text: str, position: int) -> tuple[Any, int]:
    """The value that begins at a position, and the position after it; errors as for `loads`."""
    try:
        value, end = _DECODER.raw_decode(text, position)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if text.find("\\ud", position, end) >= 0 or text.find("\\uD", position, end) >= 0:
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            half = json.dumps(error.object[error.start])
            raise ValueError(f"it holds {half}, half of a surrogate pair, which is no character") from None
    return value, end


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text[:20]} is too large")
    return value


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no number of JSON")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"an object holds the key {next(name for name in names if names.count(name) > 1)!r} twice")
    return found


_DECODER = json.JSONDecoder(parse_float=_finite, parse_constant=_no_number, object_pairs_hook=_object)
