"""Find the modules that the configuration names: readers, sources, teachers, students, methods, tasks.

Each component is one module (or subpackage), found by its name, so adding one requires no registration.
A name is looked up in all of these, and one that two of them have is refused when it is looked up (of tasks, mostly at
the start):

1. this package, at the paths in `PATTERNS`;
2. the plugins that params.yaml names (``plugins``): packages with the layout of this one, such as
   ``my_plugin/methods/toy/``;
3. entry points of installed packages, in the groups ``vlkd_steps.methods``, ``vlkd_steps.students`` and so on, whose
   value is the module.
"""

import importlib
import importlib.metadata
import importlib.util
import os
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from vlkd_steps.core.did_you_mean import nearest
from vlkd_steps.core.errors import UserError

PACKAGE = "vlkd_steps"
PATTERNS = {
    "source": ("sources.{}",),
    "reader": ("datasets.{}",),
    "vocabulary": ("benchmarks.{}.vocabulary",),
    "visual_words": ("benchmarks.{}.visual_words",),
    "task": ("tasks.{}",),
    "metric": ("metrics.{}",),
    "teacher": ("teachers.models.{}", "teachers.regions.{}"),
    "student": ("students.{}",),
    "method": ("methods.{}.__init__",),
    "pretraining": ("runs.pretrain_{}",),
}
"""Kind of component -> path patterns of its modules within a package; ``__init__``: each is a subpackage."""
ROOT = Path(__file__).resolve().parent.parent

VARIABLE = "VLKD_PLUGINS"
_NAMED = "params.yaml: plugins"


def use(plugins: Sequence[str]) -> None:
    """Look components up in these plugins too, in this process and in the jobs that it starts.

    A plugin may be in the current folder, the project's root.

    Raises:
        UserError: one of them cannot be found, or has no component.
    """
    for plugin in plugins:
        if not _folders(plugin):
            raise UserError(
                f"{_NAMED} names {plugin!r}, and Python finds no such package; install it, or put its folder beside "
                "params.yaml"
            )
        if plugin == PACKAGE or not any(_names_in(plugin, kind) for kind in PATTERNS):
            modules = ", ".join(pattern.format("NAME") for patterns in PATTERNS.values() for pattern in patterns)
            raise UserError(
                f"{_NAMED} names {plugin!r}, a package that brings no component; delete it, or add one of the modules "
                f"{modules} to it"
            )
    if tuple(plugins) != used():
        os.environ[VARIABLE] = ",".join(plugins)  # fingerprints cover the plugins' code
        forget()


def used() -> tuple[str, ...]:
    """The plugins in use."""
    return tuple(name for name in os.environ.get(VARIABLE, "").split(",") if name)


def forget() -> None:
    """Clear the caches, for when packages have been added or removed within this process."""
    for cached in (_found, names, _all_entry_points):
        cached.cache_clear()


def module_name(kind: str, name: str) -> str:
    """The dotted name of the module of a component.

    Raises:
        UserError: there is none, or there are several.
    """
    found = _found(kind, name)
    if not found:
        raise UserError(f"there is no {kind} {name!r}; {nearest(name, names(kind))}")
    if len(found) > 1:
        raise UserError(
            f"{_of_plugin(found[1])} has the name of another {kind}, {name!r} ({found[0]}), and would never be used; "
            "rename yours"
        )
    return found[0]


def load(kind: str, name: str) -> ModuleType:
    """The module of a component; errors as for `module_name`."""
    return imported(module_name(kind, name))


def imported(module: str) -> ModuleType:
    """A module of ours, or of a plugin, whose faults are its author's to mend.

    Raises:
        UserError: a plugin's module that ends in an error when it is imported.
    """
    try:
        return importlib.import_module(module)
    except (Exception, SystemExit) as error:
        if f"{module}.".startswith(f"{PACKAGE}."):
            raise
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise UserError(f"{_of_plugin(module)} cannot be imported ({reason}); correct it") from error


def load_value(module: str, name: str) -> Any:
    """What a module of a component has to define.

    Raises:
        UserError: a plugin's module that cannot be imported, or lacks it.
    """
    found = imported(module)
    if not hasattr(found, name):
        raise UserError(f"{_of_plugin(module)} defines no {name}; write {name} = ... in it")
    return getattr(found, name)


def _of_plugin(module: str) -> str:
    """A module in messages, with the file that names its plugin unless an installed package brings it."""
    named = any(f"{module}.".startswith(f"{plugin}.") for plugin in used())
    return f"{f'{_NAMED}: ' if named else ''}plugin module {module}"


def has_module(module: str) -> bool:
    """Is there such a module? Its package is imported for that.

    Raises:
        UserError: a plugin's package that cannot be imported.
    """
    above = module.rpartition(".")[0]
    return hasattr(imported(above), "__path__") and importlib.util.find_spec(module) is not None


def load_part(kind: str, name: str, part: str) -> ModuleType:
    """A module of a component that is a subpackage.

    Raises:
        UserError: there is no such component, or it has no such part.
    """
    module = f"{module_name(kind, name)}.{part}"
    if not has_module(module):
        raise UserError(f"{kind} {name} has no module {module}")
    return imported(module)


def code_of(kind: str, name: str) -> list[str]:
    """The modules of a component for a fingerprint: its own and, of a method, its objective.

    Raises:
        UserError: there is none.
    """
    module = module_name(kind, name)
    objective = [f"{module}.objective"] if kind == "method" else []
    return [module, *(part for part in objective if has_module(part))]


def vocabulary_code(words: str | None) -> list[str]:
    """The module of a student's words, if they are built in and no file."""
    return [module_name("vocabulary", words)] if words and not words.endswith(".txt") else []


@cache
def names(kind: str) -> tuple[str, ...]:
    """The names of all components of this kind, sorted."""
    found = {point.name for point in _entry_points(kind)}
    found |= {name for package in (PACKAGE, *used()) for name in _names_in(package, kind)}
    return tuple(sorted(name for name in found if name.isidentifier() and not name.startswith("_")))


def _names_in(package: str, kind: str) -> set[str]:
    """The names of a package's modules of this kind."""
    found = set()
    for pattern in PATTERNS[kind]:
        before, _, after = f"{pattern}.py".replace(".", "/").removesuffix("/py").partition("{}")
        for folder in _folders(package):
            paths = (path.relative_to(folder).as_posix() for path in folder.glob(f"{before}*{after}.py"))
            found |= {path.removeprefix(before).removesuffix(f"{after}.py") for path in paths}
    return found


def brought(kind: str) -> list[str]:
    """The names of this kind that plugins and entry points provide, sorted."""
    return [name for name in names(kind) if not f"{_found(kind, name)[0]}.".startswith(f"{PACKAGE}.")]


@cache
def _found(kind: str, name: str) -> tuple[str, ...]:
    """The modules that are called so, each once, the package's first."""
    if not name.isidentifier():
        return ()
    found = [f"{package}.{dotted}" for package in (PACKAGE, *used()) for dotted in _modules(package, kind, name)]
    found += [point.value.partition(":")[0] for point in _entry_points(kind) if point.name == name]
    return tuple(dict.fromkeys(found))


def _modules(package: str, kind: str, name: str) -> Iterator[str]:
    """The module of a component within a package, if it has one."""
    for pattern in PATTERNS[kind]:
        dotted = pattern.format(name)
        for folder in _folders(package):
            if folder.joinpath(*dotted.split(".")).with_suffix(".py").is_file():
                yield dotted.removesuffix(".__init__")


def _folders(package: str) -> list[Path]:
    """The folders of a package's modules; empty if there is no such package."""
    if package == PACKAGE:
        return [ROOT]
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        return []
    return [Path(folder) for folder in (spec.submodule_search_locations or [])] if spec else []


def _entry_points(kind: str) -> tuple[importlib.metadata.EntryPoint, ...]:
    return tuple(_all_entry_points().select(group=f"{PACKAGE}.{kind}s"))


@cache
def _all_entry_points() -> Any:  # of another class before Python 3.12
    return importlib.metadata.entry_points()
