"""The model of a component's settings by its kind: ours by name, a plugin's by the module beside its own.

A plugin's module ``students/toy.py`` may have ``students/toy_settings.py`` with ``Settings``, a `Student` with the keys
of its own; like all that is read at composition it imports no torch. Without one, any further key is taken.
"""

import inspect
from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic import ConfigDict

from vlkd_steps.config.models import dataset, source, student, teacher
from vlkd_steps.config.models.base import Model
from vlkd_steps.core import components

KINDS: dict[str, Mapping[str, type[Model]]] = {
    "source": source.KINDS,
    "teacher": teacher.KINDS,
    "student": student.KINDS,
    "reader": dataset.FILES,
}
BASES: dict[str, type[Model]] = {"source": source.Source, "teacher": teacher.Teacher, "student": student.Student}


def names(kind: str) -> list[str]:
    """What may be named: ours, and what plugins bring."""
    return sorted({*KINDS[kind], *components.brought(kind)})


def model(kind: str, name: str) -> type[Model]:
    """The model of the settings of a component.

    Raises:
        UserError: there is no such component.
    """
    if name in KINDS[kind]:
        return KINDS[kind][name]
    beside = f"{components.module_name(kind, name)}_settings"
    if components.has_module(beside):
        return _complete(components.load_value(beside, "Settings"))
    base = BASES.get(kind, Model)
    return type(f"Any{kind.title()}", (base,), {"model_config": ConfigDict(extra="allow"), "__module__": __name__})


@cache
def _complete(settings: type[Model]) -> type[Model]:
    """A plugin's settings, whose defaults its code is given too, as that of a method is; ours have them in code."""
    of_plugin = [each for each in settings.__mro__ if not f"{each.__module__}.".startswith(f"{components.PACKAGE}.")]
    own = {name for each in of_plugin for name in inspect.get_annotations(each)} & set(settings.model_fields)

    def written(self: Model) -> dict[str, Any]:
        return self.model_dump(mode="json", by_alias=True, include=own) | settings.written(self)

    return type(settings.__name__, (settings,), {"written": written, "__module__": settings.__module__})
