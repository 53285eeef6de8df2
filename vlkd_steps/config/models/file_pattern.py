"""Patterns of the names of images and of their features, such as ``COCO_{folder}_{image_id:012d}.jpg``."""

import re
from collections.abc import Mapping
from string import Formatter
from typing import Any

from vlkd_steps.core.did_you_mean import nearest


def fault(pattern: str, fields: Mapping[str, Any]) -> str:
    """What is wrong with a pattern; empty where nothing is.

    Args:
        fields: what it may name, each with an example.
    """
    try:
        parts = [(name, spec or "") for _, name, spec, _ in Formatter().parse(pattern) if name is not None]
        for name, spec in parts:
            if name not in fields:
                return f"there is no field {name!r} for it; {nearest(name, fields)}"
            if re.search(r"[0-9]{4}|[{}]", spec):
                return f"{{{name}:{spec}}} has a width of four digits, or another field in it; write {{{name}}}"
        pattern.format(**fields)
    except ValueError as error:
        return f"it is no pattern ({error}); write one such as '{{{next(iter(fields))}}}.jpg'"
    return ""


def named(pattern: str) -> set[str]:
    """The fields that a pattern without fault names."""
    return {name for _, name, _, _ in Formatter().parse(pattern) if name is not None}
