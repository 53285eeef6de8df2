"""What the members of a sweep are called: a name that is safe as a folder's, and a label for people.

``clip_td_lambda0_3_learning_rate_0p001`` is ``clip_td[lambda0=3, learning_rate=0.001]``.
"""

import itertools
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from vlkd_steps.core.files import digest

LONGEST = 100  # characters, of a name (`layout.NAME`)
HASH = 8
SHOWN = 8  # members that a message lists


def label(variant: str, swept: Mapping[str, Any]) -> str:
    """The variant with the values that a member of it has."""
    return f"{variant}[{', '.join(f'{key}={text(value)}' for key, value in swept.items())}]"


def values(label: str, variant: str) -> dict[str, str]:
    """By key the values in a label, as text."""
    written = label.removeprefix(f"{variant}[").removesuffix("]")
    return dict(part.split("=", 1) for part in re.split(r", (?=[\w.]+=)", written) if "=" in part)


def labels(variant: str, swept: Mapping[str, Any]) -> list[str]:
    """The label, and those that leave some of the keys open."""
    items = list(swept.items())
    chosen = (part for size in range(len(items), 0, -1) for part in itertools.combinations(items, size))
    return [label(variant, dict(part)) for part in chosen]


def not_one(name: str, labels: Sequence[str]) -> str:
    """What a message says of a name that means several members where it must mean one."""
    more = f" and {len(labels) - SHOWN} more" if len(labels) > SHOWN else ""
    return f"is {name!r}, which is swept; name one of its members: {', '.join(map(repr, labels[:SHOWN]))}{more}"


def text(value: Any) -> str:
    """A value as YAML writes it; 3.0 is 3."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(text, value))}]"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)


def names(variant: str, members: Sequence[Mapping[str, Any]], taken: Collection[str]) -> list[str]:
    """A folder's name for each of the members; one too long, or not its own on every disk, ends in a hash.

    Args:
        taken: names of other variants.
    """
    plain = [
        "_".join([variant, *(f"{_safe(key)}_{_safe(text(value))}" for key, value in of.items())]) for of in members
    ]
    there = [name.casefold() for name in [*plain, *taken]]
    return [
        name if len(name) <= LONGEST and there.count(name.casefold()) == 1 else _hashed(name, swept)
        for name, swept in zip(plain, members, strict=True)
    ]


def _safe(written: str) -> str:
    """Letters, digits and _: 0.001 is 0p001, -1 is m1."""
    written = written.removeprefix("by_task.")
    point = re.sub(r"(?<=\d)\.(?=\d)", "p", written)
    return re.sub(r"[^A-Za-z0-9]+", "_", re.sub(r"(?<![A-Za-z0-9])-(?=\d)|(?<=e)-(?=\d)", "m", point)).strip("_") or "_"


def _hashed(name: str, swept: Mapping[str, Any]) -> str:
    return f"{name[: LONGEST - HASH - 1]}_{digest(dict(swept))[:HASH]}"
