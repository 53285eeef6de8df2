"""The order of precedence of values that are set more than once. It is defined only here.

For a run's **recipe**, later entries win, key by key:

1. the preset's ``training``
2. the student's published ``recipe`` for the task
3. the preset's ``training.by_shot`` for the shot
4. the preset's ``training.by_task`` for the task
5. the variant's ``training``
6. the variant's ``by_task`` for the task, its ``training``

For a **method's settings**:

1. the method's file, conf/method/<name>.yaml
2. the variant
3. the variant's ``by_task`` for the task

``overrides`` come after all of that, the preset's and then those of params.yaml. Among the overrides of one file the
same order holds.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

OF_A_VARIANT = ("method", "teacher", "init", "training", "by_task")
"""Keys of a variant that are not settings of its method."""


@dataclass(frozen=True)
class Layer:
    """One section that sets values: its dotted key in the composition, and the values."""

    key: str
    values: Mapping[str, Any]


def recipe(c: Mapping[str, Any], variant: str, task: str, student: str | None, shot: str | None) -> dict[str, Any]:
    """The training recipe of a run."""
    return merged(recipe_layers(c, variant, task, student, shot))


def settings(c: Mapping[str, Any], variant: str, task: str | None) -> dict[str, Any]:
    """The settings of a variant's method, for a task."""
    return merged(settings_layers(c, variant, task))


def recipe_layers(c: Mapping[str, Any], variant: str, task: str, student: str | None, shot: str | None) -> list[Layer]:
    """The layers of a run's recipe, the last winning."""
    keys = [
        ("training",),
        ("students", student, "recipe", task),
        ("training", "by_shot", shot),
        ("training", "by_task", task),
        ("variants", variant, "training"),
        ("variants", variant, "by_task", task, "training"),
    ]
    return [
        Layer(layer.key, without(layer.values, "by_shot", "by_task"))
        for tree in trees(c)
        for layer in layers(tree, keys)
    ]


def settings_layers(c: Mapping[str, Any], variant: str, task: str | None) -> list[Layer]:
    """The layers of the settings of a variant's method, the last winning."""
    method = c["variants"][variant]["method"]
    keys = [("methods", method), ("variants", variant), ("variants", variant, "by_task", task)]
    return [Layer(layer.key, without(layer.values, *OF_A_VARIANT)) for tree in trees(c) for layer in layers(tree, keys)]


def trees(c: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The composition, then the overrides of the preset and of params.yaml, each as a tree of the same keys."""
    return [c, *c.get("overrides", ())]


def layers(tree: Mapping[str, Any], keys: Sequence[Sequence[str | None]]) -> Iterator[Layer]:
    """The mappings at these keys of a tree, as far as they exist."""
    for key in keys:
        found: Any = tree
        for part in key:
            names = {str(name): name for name in found} if isinstance(found, Mapping) else {}
            found = found[names[str(part)]] if part is not None and str(part) in names else None
        if found:
            yield Layer(".".join(map(str, key)), found)


def merged(found: Sequence[Layer]) -> dict[str, Any]:
    """The values of all layers, the last winning."""
    values: dict[str, Any] = {}
    for layer in found:
        values.update(layer.values)
    return values


def origin(found: Sequence[Layer], key: str) -> str:
    """The dotted key that a merged value comes from."""
    first = key.partition(".")[0]
    setting = [layer.key for layer in found if first in layer.values] or [found[0].key]
    return f"{setting[-1]}.{key}" if key else setting[-1]


def without(values: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key not in keys}
