"""A fingerprint of the code a step runs: what Snakemake and DVC compare instead of modification times.

It is the hash of the syntax trees of the named modules and of every module of this package that they
import, directly or not; of a plugin's module also of what it imports of plugins in use and of modules that are not
installed but lie beside its package or in the project's folder. Comments, docstrings and layout do not change it; an
edit does, whatever the file's mtime says. Nor does what can change no result: how a user's mistake is worded, and the
modules that only look for such mistakes (`CHECKS`).
"""

import functools
import hashlib
import importlib.util
from pathlib import Path

from vlkd_steps.core import components, syntax

PACKAGE = "vlkd_steps"
ROOT = Path(__file__).resolve().parents[2]
INSTALLED = ("site-packages", "dist-packages")
CHECKS = frozenset(
    f"{PACKAGE}.{name}"
    for name in ("config.models.base", "config.validation", "core.did_you_mean", "core.errors", "core.planned_code")
)
"""Modules that refuse values, or code. What they let pass is watched: in a job's configuration as it is used."""

CALCULATED: dict[str, dict[str, str]] = {}
"""The fingerprints that this process has calculated: of what, as the hash of each module's syntax tree by its name."""


@functools.cache
def fingerprint(*modules: str) -> str:
    """16 hex digits over the import closure of `modules` (dotted names).

    Raises:
        ModuleNotFoundError: one of `modules` has no source file.
    """
    for module in modules:
        if _source(module) is None:
            raise ModuleNotFoundError(f"{module} has no source file below {' or '.join(map(str, _roots(module)))}")
    total = hashlib.sha256()
    trees = {module: _syntax(module).tree for module in sorted(closure(modules))}
    for module, tree in trees.items():
        total.update(f"{module} {tree}\n".encode())
    syntax.sources(ROOT / PACKAGE).keep()
    result = total.hexdigest()[:16]
    CALCULATED[result] = trees
    return result


def tree(module: str) -> str | None:
    """The hash of a module's syntax tree as its source file is now; None if it has none that is Python."""
    path = _source(module)
    try:
        return syntax.sources(ROOT / PACKAGE).read(path).tree if path else None
    except (OSError, SyntaxError, ValueError):
        return None


def closure(modules: tuple[str, ...]) -> set[str]:
    """`modules` and all watched modules that they import (`_watched`)."""
    seen: set[str] = set()
    waiting = list(modules)
    while waiting:
        module = waiting.pop()
        if module not in seen:
            seen.add(module)
            waiting.extend(_imports(module))
    return seen


def _roots(module: str) -> tuple[Path, ...]:
    """The folders that contain a module's top-level package, of which several may have a part; nothing is imported."""
    top = module.partition(".")[0]
    return (ROOT,) if top == PACKAGE else _folders_of(top)


@functools.cache
def _folders_of(top: str) -> tuple[Path, ...]:
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):  # no name of a package, as that above the first one
        spec = None
    if spec is None:
        return (ROOT,)
    if spec.origin is None:  # folders without __init__.py
        return tuple(Path(folder).parent for folder in spec.submodule_search_locations or ()) or (ROOT,)
    origin = Path(spec.origin)
    return (origin.parent.parent if origin.name == "__init__.py" else origin.parent,)


def _source(module: str) -> Path | None:
    for root in _roots(module):
        stem = root.joinpath(*module.split("."))
        for candidate in (stem.with_suffix(".py"), stem / "__init__.py"):
            if candidate.is_file():
                return candidate
    return None


@functools.cache
def _syntax(module: str) -> syntax.Syntax:
    path = _source(module)
    assert path is not None
    return syntax.sources(ROOT / PACKAGE).read(path)


@functools.cache
def _imports(module: str) -> frozenset[str]:
    names: set[str] = set()
    for imported in _syntax(module).imports:
        base = _absolute(module, imported)
        names.add(base)
        names.update(f"{base}.{name}" for name in imported.names)  # a submodule, where it is one
    watched = {name for name in names - CHECKS if _watched(name, module)}
    return frozenset(name for name in watched if _source(name) is not None)


def _watched(imported: str, module: str) -> bool:
    """Whether a module counts that another imports: one of this package or of the other's own, and for a plugin one of
    any plugin in use, or one that is not installed and lies beside the plugin's package or in the project's folder."""
    top, own = imported.partition(".")[0], module.partition(".")[0]
    if top in (PACKAGE, own):
        return True
    if own == PACKAGE:
        return False
    if top in {plugin.partition(".")[0] for plugin in components.used()}:
        return True
    near = {folder.resolve() for folder in (*_folders_of(own), Path.cwd()) if folder.name not in INSTALLED}
    return any(folder.is_absolute() and folder.resolve() in near for folder in _folders_of(top))


def _absolute(module: str, imported: syntax.Import) -> str:
    if not imported.level:
        return imported.module
    path = _source(module)
    assert path is not None
    parts = module.split(".")
    parts = parts[: len(parts) - imported.level + (path.name == "__init__.py")]
    return ".".join([*parts, *([imported.module] if imported.module else [])])
