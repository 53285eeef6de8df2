"""Suggest the nearest valid name, for messages about names that do not exist."""

import difflib
from collections.abc import Iterable

from vlkd_steps.core.errors import UserError

MOST = 60  # names in a list


def nearest(wrong: str, valid: Iterable[str], otherwise: str = "") -> str:
    """``did you mean 'x'?`` or, if nothing is close, `otherwise` (default: the list of valid names)."""
    valid = sorted(set(valid))
    close = difflib.get_close_matches(wrong, valid, n=1, cutoff=0.5)
    more = f" and {len(valid) - MOST} more" if len(valid) > MOST else ""
    return f"did you mean {close[0]!r}?" if close else otherwise or f"valid are: {', '.join(valid[:MOST])}{more}"


def one_of(value: str, valid: Iterable[str], where: str) -> None:
    valid = list(valid)
    if value not in valid:
        raise UserError(f"{where} names {value!r}, which does not exist; {nearest(str(value), valid)}")
