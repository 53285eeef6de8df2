"""Overrides: keys of the composed configuration, a preset's and last the user's, that set one value each.

``training.steps: 300`` and ``training: {steps: 300}`` are the same; DVC's ``-S overrides.training.steps=300`` writes
the latter. A mapping sets the keys in it, the others stay. The value ``preset`` leaves the preset's: so a key stands in
params.yaml, where ``-S`` finds it.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from vlkd_steps.core.did_you_mean import nearest
from vlkd_steps.core.errors import UserError

NAMED = ("datasets", "sources", "students", "teachers", "methods", "variants")  # groups of named members
FIXED = ("grid", "experiment", "artifacts", "overrides", "blocks")  # not to be overridden
ELSEWHERE = {
    "grid": "write its lists under grid, beside overrides",
    "grids": "only a preset has them; in params.yaml, `grid` chooses from them (docs/presets.md)",
    "experiment": "write it beside overrides",
}
UNSET = "preset"
DOT = re.compile(r"(?<![0-9])\.|\.(?![0-9]+pct(?:\.|$))")
"""Between the parts of a key: not the decimal point of a shot, 0.5pct."""


def by_key(given: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Overrides by the dotted key of a section's or a member's key, however they are nested; without those `UNSET`.

    Raises:
        UserError: a key is set twice, beside a key of its own, or is no text for YAML, such as no.
    """
    found: dict[str, Any] = {}
    values: dict[str, Any] = {}
    for parts, value in _values(given, where):
        dotted = ".".join(parts)
        if dotted in values:
            raise UserError(f"{where} sets {dotted} twice, to {values[dotted]!r} and {value!r}; keep one of them")
        for other in [key for key, each in values.items() if UNSET not in (each, value)]:
            if dotted.startswith(f"{other}.") or other.startswith(f"{dotted}."):
                outer, inner = sorted((dotted, other))
                raise UserError(f"{where} sets {outer} as a whole and {inner}, a key of it; keep one of them")
        values[dotted] = value
        if value == UNSET:
            continue
        depth = _depth(parts)
        node, key = found, ".".join(parts[:depth])
        for part in parts[depth:]:
            node = node.setdefault(key, {})
            key = part
        node[key] = value
    return found


def _depth(parts: Sequence[str]) -> int:
    """How many parts of a dotted key name a section's or a member's key."""
    return 3 if parts[0] in NAMED else 2


def _values(given: Any, where: str, parts: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every single value with its key's parts; an empty mapping is one where it may be a key's value."""
    if not isinstance(given, Mapping) or (not given and parts and len(parts) >= _depth(parts)):
        yield parts, given
        return
    for key, value in given.items():
        # A shot may be a number, the name of a member or of its key is a text.
        if isinstance(key, bool) or (len(parts) == 1 and not isinstance(key, str)):
            at = f"{where}: {'.'.join(parts)}" if parts else where
            raise UserError(f"{at} has the key {str(key).lower()}, which YAML does not read as text; put it in quotes")
        yield from _values(value, where, (*parts, *DOT.split(str(key))))


def override(
    composed: dict[str, Any], parts: Sequence[str], value: Any, where: str, optional: Mapping[str, Any]
) -> None:
    """Set one key that exists, or that may be said although no file says it.

    Args:
        parts: the key.
        optional: by dotted key of a member, the keys that it may have.

    Raises:
        UserError: no such key, or one that holds a whole group or member, whose other keys would be lost.
    """
    dotted = ".".join(parts)
    node: Any = composed
    for depth, part in enumerate(parts):
        last = depth == len(parts) - 1
        may = last and part in optional.get(".".join(parts[:depth]), ())
        if not isinstance(node, dict) or (_key(node, part) not in node and not may) or parts[0] in FIXED:
            raise UserError(f"{where} {_refusal(composed, parts, depth, optional)}")
        if not last:
            node = node[_key(node, part)]
    key = _key(node, parts[-1])
    if len(parts) < _depth(parts) and isinstance(node[key], dict):
        inner = next(iter(node[key]))
        raise UserError(
            f"{where}: {dotted} would replace all of {dotted}; set its keys one by one, such as {dotted}.{inner}: ..."
        )
    if len(parts) == 3 and parts[0] in NAMED and parts[2] == "name":
        raise UserError(f"{where}: {dotted} cannot be set: a name is its file's; write a file of another name")
    node[key] = merged(node.get(key), value)


def _refusal(composed: dict[str, Any], parts: Sequence[str], depth: int, optional: Mapping[str, Any]) -> str:
    """Why there is no such key, of which `depth` parts exist, and which there are."""
    if parts[0] in ELSEWHERE:
        return f"cannot set {parts[0]}: {ELSEWHERE[parts[0]]}"
    dotted, above = ".".join(parts), parts[:depth]
    known = [*_dotted(composed), *(f"{key}.{inner}" for key, inners in optional.items() for inner in inners)]
    beside = [last for *before, last in (key.split(".") for key in known) if before == list(above)]
    return f"has unknown key {dotted!r}; {nearest(dotted, known, nearest(parts[depth], beside) if beside else '')}"


def merged(before: Any, value: Any) -> Any:
    """A mapping's keys set in another one; any other value as it is."""
    if not (isinstance(value, Mapping) and value and isinstance(before, Mapping)):
        return value
    keys = {_key(before, str(key)): one for key, one in value.items()}
    return {**before, **{key: merged(before.get(key), one) for key, one in keys.items()}}


def _key(node: Mapping[Any, Any], part: str) -> Any:
    """The key of a mapping that a part of a dotted key means: 100 is that of a shot."""
    return int(part) if part not in node and part.isdecimal() and int(part) in node else part


def tree(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Overrides `by_key` as a tree: what `precedence` reads like the composition itself."""
    found: dict[str, Any] = {}
    for dotted, value in overrides.items():
        *above, last = dotted.split(".")
        node = found
        for part in above:
            node = node.setdefault(part, {})
        node[last] = value
    return found


def left_out(dotted: str, composed: Mapping[str, Any], known: Mapping[str, Sequence[str]]) -> bool:
    """Is it about a member of a group that there is, such as a data set, and that the user's grid leaves out?

    Args:
        known: by group, the names that there are.
    """
    group, _, rest = dotted.partition(".")
    name = rest.partition(".")[0]
    return name in known.get(group, ()) and name not in composed[group]


def _dotted(tree: Mapping[str, Any], prefix: str = "") -> list[str]:
    keys: list[str] = []
    for key, value in tree.items():
        if prefix or key not in FIXED:
            keys.append(f"{prefix}{key}")
            if isinstance(value, Mapping):
                keys.extend(_dotted(value, f"{prefix}{key}."))
    return keys
