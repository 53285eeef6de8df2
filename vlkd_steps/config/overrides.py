"""Overrides: dotted keys of the composed configuration, a preset's and last the user's, that set one value each."""

from collections.abc import Mapping, Sequence
from typing import Any

from vlkd_steps.core.did_you_mean import nearest
from vlkd_steps.core.errors import UserError

NAMED = ("datasets", "sources", "students", "teachers", "methods", "variants")  # groups of named members


def override(composed: dict[str, Any], dotted: str, value: Any, where: str) -> None:
    """Set one dotted key that exists; a variant may set any key of its method.

    Raises:
        UserError: no such key, or one that holds a whole group or member, whose other keys would be lost.
    """
    parts = dotted.split(".")
    if parts[0] == "variants" and len(parts) > 2 and parts[1] in composed["variants"]:
        variant = composed["variants"][parts[1]]
        if parts[2] in composed["methods"].get(variant["method"], {}):
            variant.setdefault(parts[2], composed["methods"][variant["method"]][parts[2]])
    place: Any = composed
    for depth, part in enumerate(parts):
        if not isinstance(place, dict) or part not in place or parts[0] in ("grid", "experiment", "artifacts"):
            known = [*_dotted(composed), *_method_keys(composed)]
            raise UserError(f"{where} has unknown key {dotted!r}; {nearest(dotted, known)}")
        if depth < len(parts) - 1:
            place = place[part]
    if len(parts) <= (2 if parts[0] in NAMED else 1) and isinstance(place[parts[-1]], dict):
        inner = next(iter(value if isinstance(value, dict) and value else place[parts[-1]]))
        raise UserError(
            f"{where}: {dotted} would replace all of {dotted}; set its keys one by one, such as {dotted}.{inner}: ..."
        )
    place[parts[-1]] = value
    _let_it_win(composed, parts)


def left_out(dotted: str, composed: Mapping[str, Any], datasets: Sequence[str]) -> bool:
    """Is it about a variant, or one of the `datasets` that there are, which the user's grid leaves out?"""
    group, _, rest = dotted.partition(".")
    name = rest.partition(".")[0]
    if group == "datasets":
        return name in datasets and name not in composed["datasets"]
    return group == "variants" and name in composed["variants"] and name not in composed["grid"]["variant"]


def _let_it_win(composed: Mapping[str, Any], parts: list[str]) -> None:
    """What a user sets is final: drop what is set more narrowly (by variant, task, student, shot) under that key."""
    *where, key = parts
    variants: dict[str, Any] = composed["variants"]
    if where == ["training"]:
        narrower = [v.get("training") for v in variants.values()] + [
            t.get("training") for t in _tasks(*variants.values())
        ]
        narrower += [r for student in composed["students"].values() for r in (student.get("recipe") or {}).values()]
        for by in ("by_shot", "by_task"):
            narrower += (composed["training"].get(by) or {}).values()
    elif where[:1] == ["variants"]:
        tasks = _tasks(variants[where[1]])
        narrower = [task.get("training") for task in tasks] if where[2:] == ["training"] else list(tasks)
    else:
        return
    for settings in narrower:
        (settings or {}).pop(key, None)


def _tasks(*variants: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [settings for variant in variants for settings in (variant.get("by_task") or {}).values()]


def _dotted(tree: Mapping[str, Any], prefix: str = "") -> list[str]:
    keys: list[str] = []
    for key, value in tree.items():
        if prefix or key not in ("grid", "experiment", "artifacts"):
            keys.append(f"{prefix}{key}")
            if isinstance(value, Mapping):
                keys.extend(_dotted(value, f"{prefix}{key}."))
    return keys


def _method_keys(composed: Mapping[str, Any]) -> list[str]:
    return [
        f"variants.{name}.{key}"
        for name, variant in composed["variants"].items()
        for key in composed["methods"].get(variant["method"], {})
    ]
