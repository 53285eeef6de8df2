"""The order of precedence of values that are set more than once. It is defined only here.

For a run's **recipe**, later entries win, key by key:

1. the preset's ``training``
2. the student's published ``recipe`` for the task
3. the preset's ``training.by_shot`` for the shot
4. the preset's ``training.by_task`` for the task
5. the variant's ``training``
6. the variant's ``by_shot`` for the shot, its ``training``
7. the variant's ``by_task`` for the task, its ``training``
8. in that, its ``by_shot`` for the shot, its ``training``

For a **method's settings**:

1. the method's file, conf/method/<name>.yaml
2. the variant
3. the variant's ``by_shot`` for the shot
4. the variant's ``by_task`` for the task
5. in that, its ``by_shot`` for the shot

``overrides`` come after all of that, the preset's and then those of params.yaml. Among the overrides of one file the
same order holds.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vlkd_steps.config.conf_files import merge
from vlkd_steps.config.models.base import Model
from vlkd_steps.config.models.composition import Cell, Composition
from vlkd_steps.config.models.method import Settings, declaration
from vlkd_steps.config.models.recipe import Recipe
from vlkd_steps.config.validation import Locate, validated
from vlkd_steps.core.errors import UserError

OF_A_VARIANT = ("method", "teacher", "init", "training", "by_shot", "by_task")
"""Keys of a variant that are not settings of its method."""


@dataclass(frozen=True)
class Layer:
    """One section that sets values: its dotted key in the composition, and the values."""

    key: str
    values: Mapping[str, Any]


def recipe(c: Composition, cell: Cell) -> Recipe:
    """The training recipe of a cell's runs.

    Raises:
        UserError: a key that a recipe has to have is missing.
    """
    task = c.datasets[cell.dataset].task
    keys = [
        ("training",),
        ("students", cell.student, "recipe", task),
        ("training", "by_shot", cell.shot),
        ("training", "by_task", task),
        *((*part, "training") for part in _of_variant(cell.variant, task, cell.shot)),
    ]
    values = _merged(_layers(c, keys, ("by_shot", "by_task")))
    lacking = [key for key, field in Recipe.model_fields.items() if field.is_required() and key not in values]
    if lacking:
        raise UserError(
            f"experiment {c.experiment}, {' '.join(cell)}: training.{lacking[0]} is missing; give it in the preset "
            "or in params.yaml under overrides"
        )
    try:
        return Recipe.of(values)
    except UserError as mistake:
        raise UserError(f"experiment {c.experiment}, {' '.join(cell)}: {mistake}") from mistake


def settings(
    c: Composition, variant: str, task: str | None, shot: str | None, origin: Locate | None = None
) -> Settings:
    """The settings of a variant's method, for a task and a shot.

    Args:
        task, shot: None: what the variant says of none in particular.
        origin: finds the file of a dotted key, for messages.

    Raises:
        UserError: an invalid value.
    """
    method = c.variants[variant].method
    keys = [("methods", method), *_of_variant(variant, task, shot)]
    layers = _layers(c, keys, OF_A_VARIANT)
    locate = (lambda key: origin(_origin(layers, key))) if origin else None
    return validated(declaration(method).settings, _merged(layers), "", locate)


def _of_variant(variant: str, task: str | None, shot: str | None) -> list[tuple[str | None, ...]]:
    """The keys of a variant and of its parts for the task and the shot, the narrowest last."""
    whole, of_task = ("variants", variant), ("variants", variant, "by_task", task)
    return [whole, (*whole, "by_shot", shot), of_task, (*of_task, "by_shot", shot)]


def _layers(c: Composition, keys: Sequence[Sequence[str | None]], others: Sequence[str]) -> list[Layer]:
    """The sections at these keys as far as they exist, of the composition, then of each file's overrides.

    Args:
        others: keys of a section that are not its values.
    """
    return [
        Layer(".".join(map(str, key)), {name: value for name, value in found.items() if name not in others})
        for tree in (c, *c.overrides)
        for key in keys
        for found in _at(tree, key)
    ]


def _at(tree: Any, key: Sequence[str | None]) -> Iterator[Mapping[str, Any]]:
    """The section at a key of a tree, if there is one."""
    for part in key:
        if isinstance(tree, Mapping):
            tree = next((value for name, value in tree.items() if str(name) == part), None)
        else:
            tree = getattr(tree, part or "", None)
    if tree:
        yield tree.written() if isinstance(tree, Model) else tree


def _merged(layers: Sequence[Layer]) -> dict[str, Any]:
    """The values of all layers, the last winning; a mapping sets the keys in it."""
    found: dict[str, Any] = {}
    for layer in layers:
        found = merge(found, layer.values)
    return found


def _origin(layers: Sequence[Layer], key: str) -> str:
    """The dotted key that a merged value comes from."""
    first = key.partition(".")[0]
    setting = [layer.key for layer in layers if first in layer.values] or [layers[0].key]
    return f"{setting[-1]}.{key}" if key else setting[-1]
