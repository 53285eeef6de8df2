"""File names by a pattern such as ``COCO_{folder}_{image_id:012d}.jpg``: plain fields, and a width for numbers.

`str.format` would also read attributes and items of a value, and pad to any width.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from string import Formatter
from typing import Any

from vlkd_steps.core.did_you_mean import nearest

_WIDTH = re.compile(r"(.?[<>^])?(0?[0-9]{1,2})?d?")


def fields(pattern: str) -> Iterator[str]:
    """The names of a pattern's fields.

    Raises:
        ValueError: anything but ``{name}`` and, for numbers, ``{name:d}`` or ``{name:012d}``.
    """
    for _, name, spec, conversion in Formatter().parse(pattern):
        if name is None:
            continue
        if not name.isidentifier() or conversion or not _WIDTH.fullmatch(spec or ""):
            written = name + (f"!{conversion}" if conversion else "") + (f":{spec}" if spec else "")
            raise ValueError(f"{written!r} is not a field such as {{name}} or, with a width, {{name:012d}}")
        yield name


def check(pattern: str, known: Iterable[str]) -> None:
    """Refuse a pattern that `str.format` must not be given.

    Raises:
        ValueError: as for `fields`, or a field that is not `known`.
    """
    for name in fields(pattern):
        if name not in known:
            raise ValueError(f"there is no field {{{name}}}; {nearest(name, known)}")


def fill(pattern: str, values: Mapping[str, Any]) -> str:
    """The pattern with its fields filled in.

    Raises:
        ValueError: as for `check`, or a width for text.
    """
    check(pattern, values)
    return pattern.format(**values)
