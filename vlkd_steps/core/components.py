"""The modules that names in the configuration mean: a reader, a source, a teacher, a student, a method, a task.

Of each kind there is one module a component, found by its name; a new one needs no list to be edited.
"""

import importlib
from functools import cache
from pathlib import Path
from types import ModuleType

from vlkd_steps.core.did_you_mean import nearest
from vlkd_steps.core.errors import UserError

PACKAGE = "vlkd_steps"
PATTERNS = {
    "source": ("sources.{}",),
    "reader": ("datasets.{}",),
    "vocabulary": ("benchmarks.{}.vocabulary",),
    "task": ("tasks.{}",),
    "metric": ("metrics.{}",),
    "teacher": ("teachers.models.{}", "teachers.regions.{}"),
    "student": ("students.{}",),
    "method": ("methods.{}",),
    "pretraining": ("runs.pretrain_{}",),
}
"""Kind of component -> where its modules lie below the package."""
ROOT = Path(__file__).resolve().parent.parent


def module_name(kind: str, name: str) -> str:
    """The dotted name of the module of a component.

    Raises:
        UserError: there is none.
    """
    for pattern in PATTERNS[kind]:
        dotted = pattern.format(name)
        if name.isidentifier() and ROOT.joinpath(*dotted.split(".")).with_suffix(".py").is_file():
            return f"{PACKAGE}.{dotted}"
    raise UserError(f"there is no {kind} {name!r}; {nearest(name, names(kind))}")


def load(kind: str, name: str) -> ModuleType:
    """The module of a component.

    Raises:
        UserError: there is none.
    """
    return importlib.import_module(module_name(kind, name))


@cache
def names(kind: str) -> tuple[str, ...]:
    """All names that have a module where those of this kind lie, sorted."""
    found = set()
    for pattern in PATTERNS[kind]:
        before, _, after = pattern.replace(".", "/").partition("{}")
        found |= {path.relative_to(ROOT).as_posix() for path in ROOT.glob(f"{before}*{after}.py")}
        found = {path.removeprefix(before).removesuffix(f"{after}.py") for path in found}
    return tuple(sorted(name for name in found if name.isidentifier() and not name.startswith("_")))
