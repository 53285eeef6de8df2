"""``like: clip_td`` under a variant: it is that variant but for the keys that it says itself.

It is resolved here, in the preset as its files say it, before sweeps are expanded and anything is validated: from then
on the variant is one like any other. Overrides of the other reach it too, but for keys that it says itself. The
other's ``sweep`` is not its own.
"""

from collections.abc import Callable, Mapping
from typing import Any

from vlkd_steps.config.conf_files import merge
from vlkd_steps.config.validation import shown
from vlkd_steps.core.did_you_mean import nearest
from vlkd_steps.core.errors import UserError

PARTS = ("by_task", "by_shot")
"""Keys of a variant that say more narrowly what it says."""

OWN = ("sweep", "method")
"""Keys whose overrides do not reach a variant: it has its own settings of the method that its file says."""

Said = Callable[[str], str]
"""File and key of a dotted key of the preset, as messages begin."""


def resolved(raw: Mapping[str, Any], said: Said) -> dict[str, Any]:
    """A preset whose variants say everything themselves.

    Raises:
        UserError: there is no such variant, or variants are like each other in a circle.
    """
    variants = raw.get("variants")
    if not isinstance(variants, Mapping):
        return dict(raw)
    return {**raw, "variants": {name: _whole(name, variants, said, ()) for name in variants}}


def reached(overrides: Mapping[str, Any], raw: Mapping[str, Any]) -> dict[str, Any]:
    """Overrides by dotted key (`overrides.by_key`), with those that reach a variant because they are of one it is like.

    Args:
        raw: the preset as its files say it, without circles (`resolved`).
    """
    if not used(raw):
        return dict(overrides)
    of: dict[str, dict[str, Any]] = {}
    for key, value in overrides.items():
        group, _, rest = key.partition(".")
        name, _, setting = rest.partition(".")
        if group == "variants" and setting:
            of.setdefault(name, {})[setting] = value
    found = dict(overrides)
    for name in raw["variants"]:
        found |= {f"variants.{name}.{key}": value for key, value in _given(name, raw["variants"], of).items()}
    return found


def _given(name: str, variants: Mapping[str, Any], of: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The overrides of a variant: those of the one it is like, but for what it says itself, and its own."""
    variant = _texts(variants[name])
    if not isinstance(variant, Mapping) or variant.get("like") is None:
        return dict(of.get(name, {}))
    given = {key: value for key, value in _given(variant["like"], variants, of).items() if key not in OWN}
    reaching = _unsaid(_without(given, variant), variant)
    return merge(merge(reaching, _said_narrowly(variant, reaching)), of.get(name, {}))


def _unsaid(values: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """The values at keys that `own` has no value for."""
    found = {}
    for key, value in values.items():
        if key not in own:
            found[key] = value
        elif isinstance(value, Mapping) and isinstance(own[key], Mapping) and (unsaid := _unsaid(value, own[key])):
            found[key] = unsaid
    return found


def _said_narrowly(own: Mapping[str, Any], reaching: Mapping[str, Any]) -> dict[str, Any]:
    """What a variant says for a task or shot of keys that the overrides reaching it say for more of them.

    Otherwise an override of the other, which wins over all that files say, would win over the variant's own words.
    """
    wider = {key: value for key, value in reaching.items() if key not in PARTS}
    found: dict[str, Any] = {}
    for kind in PARTS:
        parts = own[kind] if isinstance(own.get(kind), Mapping) else {}
        for name, part in parts.items():
            if not isinstance(part, Mapping):
                continue
            there = reaching[kind].get(name) if isinstance(reaching.get(kind), Mapping) else None
            here = merge(wider, there) if isinstance(there, Mapping) else wider
            if said := merge(_common(part, wider), _said_narrowly(part, here)):
                found.setdefault(kind, {})[name] = said
    return found


def _common(values: Mapping[str, Any], others: Mapping[str, Any]) -> dict[str, Any]:
    """The values at keys that `others` has too."""
    found = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and isinstance(others.get(key), Mapping):
            if common := _common(value, others[key]):
                found[key] = common
        elif key in others:
            found[key] = value
    return found


def used(raw: Mapping[str, Any]) -> bool:
    """Whether some variant is like another."""
    variants = raw.get("variants")
    return isinstance(variants, Mapping) and any(
        isinstance(each, Mapping) and "like" in each for each in variants.values()
    )


def _whole(name: Any, variants: Mapping[Any, Any], said: Said, above: tuple[Any, ...]) -> Any:
    variant = variants[name]
    if not isinstance(variant, Mapping) or "like" not in variant:
        return variant
    own = {key: value for key, value in variant.items() if key != "like"}
    other, where = variant["like"], said(f"variants.{name}.like")
    if other is None:  # ends one that an earlier file began
        return own
    if not isinstance(other, str) or other not in variants:
        near = nearest(str(other), [each for each in map(str, variants) if each != name])
        raise UserError(f"{where} is {shown(other)}; there is no such variant; {near}")
    if other in (*above, name):
        raise UserError(f"{where} is {other!r}, which is like {name} itself; name a variant that says its own method")
    base = _whole(other, variants, said, (*above, name))
    if not isinstance(base, Mapping):
        return own  # validation says what is wrong with the other
    own = _texts(own)
    base = _renamed(_texts({key: value for key, value in base.items() if key != "sweep"}), other, name)
    return merge(_without(base, own), own)


def _renamed(base: Mapping[str, Any], other: str, name: str) -> dict[str, Any]:
    """A variant that starts from its own model, on another data set, is one that does so under its new name."""
    found = {key: _renamed(value, other, name) if isinstance(value, Mapping) else value for key, value in base.items()}
    return found | ({"init": name} if base.get("init") == other else {})


def _texts(tree: Any) -> Any:
    """A variant with its shots as text: 100 and "100" are one."""
    if not isinstance(tree, Mapping):
        return tree
    return {str(key): _texts(value) for key, value in tree.items()}


def _without(base: Any, own: Mapping[str, Any]) -> Any:
    """What the other variant says, but for its narrower values of what this one says for every task or shot.

    Otherwise the other's `by_task` and `by_shot`, which win over a variant's plain values (`precedence`), would also
    win over this variant's own.
    """
    if not isinstance(base, Mapping):
        return base
    said = {key: value for key, value in own.items() if key not in PARTS}
    found = dict(base)
    for kind in PARTS:
        if not isinstance(base.get(kind), Mapping):
            continue
        parts = own[kind] if isinstance(own.get(kind), Mapping) else {}
        left = {}
        for name, part in base[kind].items():
            here = parts[name] if isinstance(parts.get(name), Mapping) else {}
            left[name] = _without(_unsaid(part, said) if isinstance(part, Mapping) else part, merge(said, here))
        found.pop(kind)
        if left := {name: part for name, part in left.items() if part != {}}:
            found[kind] = left
    return found
