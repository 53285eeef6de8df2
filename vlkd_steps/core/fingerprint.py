"""A fingerprint of the code a step runs: what Snakemake and DVC compare instead of modification times.

It is the hash of the syntax trees of the named modules and of every module of this package that they
import, directly or not; of a plugin's module also of what it imports of the plugin's own top-level package.
Comments, docstrings and layout do not change it; an edit does, whatever the file's mtime says. Nor does what can change
no result: how a user's mistake is worded, and the modules that only look for such mistakes (`CHECKS`).
"""

import ast
import functools
import hashlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path

PACKAGE = "vlkd_steps"
ROOT = Path(__file__).resolve().parents[2]
CHECKS = frozenset(
    f"{PACKAGE}.{name}" for name in ("config.models.base", "config.validation", "core.did_you_mean", "core.errors")
)
"""Modules that refuse values. What they let pass is in a job's configuration as it is used, and watched there."""


@functools.cache
def fingerprint(*modules: str) -> str:
    """16 hex digits over the import closure of `modules` (dotted names).

    Raises:
        ModuleNotFoundError: one of `modules` has no source file.
    """
    for module in modules:
        if _source(module) is None:
            raise ModuleNotFoundError(f"{module} has no source file below {_root(module)}")
    total = hashlib.sha256()
    for module in sorted(closure(modules)):
        total.update(f"{module} {_tree_hash(module)}\n".encode())
    return total.hexdigest()[:16]


def closure(modules: tuple[str, ...]) -> set[str]:
    """`modules` and all modules that they import of this package or of their own."""
    seen: set[str] = set()
    waiting = list(modules)
    while waiting:
        module = waiting.pop()
        if module not in seen:
            seen.add(module)
            waiting.extend(_imports(module))
    return seen


def _root(module: str) -> Path:
    """The folder that contains a module's top-level package; nothing is imported."""
    top = module.partition(".")[0]
    return ROOT if top == PACKAGE else _folder_of(top)


@functools.cache
def _folder_of(top: str) -> Path:
    spec = importlib.util.find_spec(top)
    if spec is None or spec.origin is None:
        return ROOT
    origin = Path(spec.origin)
    return origin.parent.parent if origin.name == "__init__.py" else origin.parent


def _source(module: str) -> Path | None:
    stem = _root(module).joinpath(*module.split("."))
    for candidate in (stem.with_suffix(".py"), stem / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


@functools.cache
def _tree(module: str) -> ast.Module:
    path = _source(module)
    assert path is not None
    return ast.parse(path.read_bytes(), filename=str(path))


@functools.cache
def _imports(module: str) -> frozenset[str]:
    names: set[str] = set()
    for node in _statements(_tree(module)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(module, node)
            names.add(base)
            names.update(f"{base}.{alias.name}" for alias in node.names)  # a submodule, where it is one
    ours = {name for name in names if name.split(".")[0] in (PACKAGE, module.split(".")[0])}
    return frozenset(name for name in ours - CHECKS if _source(name) is not None)


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """The statements below a node; expressions, most of a tree, are skipped: they hold no import and no docstring."""
    for block in ("body", "handlers", "orelse", "finalbody", "cases"):
        for statement in getattr(node, block, ()):
            yield statement
            if not isinstance(statement, ast.Expr):
                yield from _statements(statement)


def _absolute(module: str, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    path = _source(module)
    assert path is not None
    parts = module.split(".")
    parts = parts[: len(parts) - node.level + (path.name == "__init__.py")]
    return ".".join([*parts, *([node.module] if node.module else [])])


@functools.cache
def _tree_hash(module: str) -> str:
    tree = _tree(module)
    for node in (tree, *_statements(tree)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                node.body = node.body[1:]
        elif isinstance(node, ast.Raise) and isinstance(call := node.exc, ast.Call):
            call.args = [] if isinstance(call.func, ast.Name) and call.func.id == "UserError" else call.args
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()
