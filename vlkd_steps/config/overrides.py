"""Overrides: dotted keys of the composed configuration, a preset's and last the user's, that set one value each."""

from collections.abc import Mapping, Sequence
from typing import Any

from vlkd_steps.core.did_you_mean import nearest
from vlkd_steps.core.errors import UserError

NAMED = ("datasets", "sources", "students", "teachers", "methods", "variants")  # groups of named members
FIXED = ("grid", "experiment", "artifacts", "overrides", "blocks")  # not to be overridden


def override(composed: dict[str, Any], dotted: str, value: Any, where: str, optional: Mapping[str, Any]) -> None:
    """Set one dotted key that exists, or that may be said although no file says it.

    Args:
        optional: by dotted key of a member, the keys that it may have.

    Raises:
        UserError: no such key, or one that holds a whole group or member, whose other keys would be lost.
    """
    parts = dotted.split(".")
    node: Any = composed
    for depth, part in enumerate(parts):
        last = depth == len(parts) - 1
        may = last and part in optional.get(".".join(parts[:depth]), ())
        if not isinstance(node, dict) or (_key(node, part) not in node and not may) or parts[0] in FIXED:
            known = [*_dotted(composed), *(f"{key}.{inner}" for key, inners in optional.items() for inner in inners)]
            raise UserError(f"{where} has unknown key {dotted!r}; {nearest(dotted, known)}")
        if not last:
            node = node[_key(node, part)]
    key = _key(node, parts[-1])
    if len(parts) <= (2 if parts[0] in NAMED else 1) and isinstance(node[key], dict):
        inner = next(iter(value if isinstance(value, dict) and value else node[key]))
        raise UserError(
            f"{where}: {dotted} would replace all of {dotted}; set its keys one by one, such as {dotted}.{inner}: ..."
        )
    if len(parts) == 3 and parts[0] in NAMED and parts[2] == "name":
        raise UserError(f"{where}: {dotted} cannot be set: a name is its file's; write a file of another name")
    node[key] = value


def _key(node: Mapping[Any, Any], part: str) -> Any:
    """The key of a mapping that a part of a dotted key means: 100 is that of a shot."""
    return int(part) if part not in node and part.isdigit() and int(part) in node else part


def tree(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted keys as a tree: what `precedence` reads like the composition itself."""
    found: dict[str, Any] = {}
    for dotted, value in overrides.items():
        *above, last = dotted.split(".")
        node = found
        for part in above:
            node = node.setdefault(part, {})
        node[last] = value
    return found


def left_out(dotted: str, composed: Mapping[str, Any], datasets: Sequence[str]) -> bool:
    """Is it about one of the `datasets` that there are, which the user's grid leaves out?"""
    group, _, rest = dotted.partition(".")
    name = rest.partition(".")[0]
    return group == "datasets" and name in datasets and name not in composed["datasets"]


def _dotted(tree: Mapping[str, Any], prefix: str = "") -> list[str]:
    keys: list[str] = []
    for key, value in tree.items():
        if prefix or key not in FIXED:
            keys.append(f"{prefix}{key}")
            if isinstance(value, Mapping):
                keys.extend(_dotted(value, f"{prefix}{key}."))
    return keys
