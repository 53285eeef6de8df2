"""``like: clip_td`` under a variant: it is that variant but for the keys that it says itself.

It is resolved here, in the preset as its files say it, before sweeps are expanded and anything is validated: from then
on the variant is one like any other. Overrides of the other reach it too. One of a key that the variant says itself,
be it for a task or shot alone, counts as if the other's file said it, so that the variant's own words win; any other is
an override of the variant. The other's ``sweep`` is not its own.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
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

Tree = Mapping[str, Any]
"""Keys of a variant with their values."""


def resolved(raw: Tree, sections: Sequence[Tree], said: Said) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A preset whose variants say everything themselves, and its overrides with those that reach a variant.

    Args:
        raw: the preset as its files say it.
        sections: the overrides of the preset and those of params.yaml, by dotted key (`overrides.by_key`).

    Raises:
        UserError: there is no such variant, or variants are like each other in a circle.
    """
    variants = raw.get("variants")
    if not isinstance(variants, Mapping):
        return dict(raw), [dict(section) for section in sections]
    for name in variants:
        _whole(name, variants, said, ())  # refuses circles, which would have no end below
    reaching = [_reaching(variants, section) for section in sections]
    below = [{name: under for name, (_, under) in of_section.items()} for of_section in reaching]
    whole = {name: _whole(name, variants, said, (), below) for name in variants}
    found = []
    for section, of_section in zip(sections, reaching, strict=True):
        over = {f"variants.{name}.{key}": v for name, (given, _) in of_section.items() for key, v in given.items()}
        found.append({**section, **over})
    return {**raw, "variants": whole}, found


def _reaching(variants: Tree, section: Tree) -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    """Of each variant that is like another: its overrides, and those that count as words of the other's file."""
    of: dict[str, dict[str, Any]] = {}
    for key, value in section.items():
        group, _, rest = key.partition(".")
        name, _, setting = rest.partition(".")
        if group == "variants" and setting:
            of.setdefault(name, {})[setting] = value
    return {name: _given(name, variants, of) for name in variants if other(variants[name]) is not None}


def _given(name: str, variants: Tree, of: Mapping[str, Tree]) -> tuple[dict[str, Any], dict[str, Any]]:
    if (like := other(variants[name])) is None:
        return dict(of.get(name, {})), {}
    said = set(_names(variants[name]))
    over: dict[str, Any] = {}
    under: dict[str, Any] = {}
    for place, key, value in _words(_given(like, variants, of)[0]):
        if key not in OWN:
            node = under if key in said else over
            for part in place:
                node = node.setdefault(part, {})
            node[key] = value
    return merge(over, of.get(name, {})), under


def other(variant: Any) -> str | None:
    """The variant that one is like."""
    return variant.get("like") if isinstance(variant, Mapping) else None


def _words(tree: Tree, place: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str, Any]]:
    """Every single value of a variant's tree: the keys above it, its key, and the value."""
    for key, value in tree.items():
        if key in (*PARTS, "training") and isinstance(value, Mapping) and value:
            for name, part in value.items():
                if key in PARTS and isinstance(part, Mapping) and part:
                    yield from _words(part, (*place, key, str(name)))
                else:
                    yield (*place, key), str(name), part
        else:
            yield place, str(key), value


def _names(tree: Any) -> Iterator[str]:
    """Every key of a variant at any depth, those that it sweeps included."""
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            yield from str(key).split(".")
            yield from _names(value)


def _unsaid(values: Tree, own: Tree) -> dict[str, Any]:
    """The values at keys that `own` has no value for."""
    found = {}
    for key, value in values.items():
        if key not in own:
            found[key] = value
        elif isinstance(value, Mapping) and isinstance(own[key], Mapping) and (unsaid := _unsaid(value, own[key])):
            found[key] = unsaid
    return found


def _whole(
    name: Any, variants: Mapping[Any, Any], said: Said, above: tuple[Any, ...], below: Sequence[Mapping[str, Tree]] = ()
) -> Any:
    """All that a variant says, with what the one it is like says.

    Args:
        below: of each file's overrides, those that reach a variant as words of the other (`_reaching`).
    """
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
    base = _whole(other, variants, said, (*above, name), below)
    if not isinstance(base, Mapping):
        return own  # validation says what is wrong with the other
    own = _texts(own)
    base = _renamed(_texts({key: value for key, value in base.items() if key != "sweep"}), other, name)
    for of_section in below:
        base = _overridden(base, of_section.get(name, {}))
    return merge(_without(base, own), own)


def _renamed(base: Tree, other: str, name: str) -> dict[str, Any]:
    """A variant that starts from its own model, on another data set, is one that does so under its new name."""
    found = {key: _renamed(value, other, name) if isinstance(value, Mapping) else value for key, value in base.items()}
    return found | ({"init": name} if base.get("init") == other else {})


def _texts(tree: Any) -> Any:
    """A variant with its shots as text: 100 and "100" are one."""
    if not isinstance(tree, Mapping):
        return tree
    return {str(key): _texts(value) for key, value in tree.items()}


def _overridden(base: Tree, overrides: Tree) -> dict[str, Any]:
    """A tree with overrides, which win over all that it says, whatever the task or shot.

    An override for a shot wins over what the tree says for a task (`precedence`), so it is said for that task too.
    """
    found = {
        key: value for key, value in base.items() if not (key in PARTS and key in overrides and not overrides[key])
    }
    found, shots, tasks = _without(found, overrides), overrides.get("by_shot"), found.get("by_task")
    if isinstance(shots, Mapping) and isinstance(tasks, Mapping):
        of_tasks = overrides["by_task"] if isinstance(overrides.get("by_task"), Mapping) else {}
        again = {task: {"by_shot": _unsaid(shots, {shot: of_tasks.get(task, {}) for shot in shots})} for task in tasks}
        overrides = merge({"by_task": again}, overrides)
    return merge(found, overrides)


def _without(base: Any, own: Tree) -> Any:
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
        found[kind] = {}
        for name, part in base[kind].items():
            here = parts[name] if isinstance(parts.get(name), Mapping) else {}
            found[kind][name] = _without(_unsaid(part, said) if isinstance(part, Mapping) else part, merge(said, here))
    return found
