"""What a source file says: a hash of its syntax tree, and what it imports.

Parsing the package takes a second, in each start of Snakemake and in each job. The result is therefore kept beside
Python's own compiled files, by the hash of the source's bytes: an edited file is always parsed.
"""

import ast
import contextlib
import functools
import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from vlkd_steps.core import files

FORMAT = 1
"""To be raised when this module reads a source differently."""
MOST = 5000
"""Entries that are kept; the oldest go first."""


class Import(NamedTuple):
    """One import statement: ``from <level dots><module> import <names>``; without names, ``import <module>``."""

    level: int
    module: str
    names: tuple[str, ...]


class Syntax(NamedTuple):
    """One source file; `tree` is the sha256 of its syntax tree without docstrings and a `UserError`'s words."""

    imports: tuple[Import, ...]
    tree: str


class Sources:
    """The syntax of source files, by the sha256 of their bytes; kept in the `__pycache__` of a package's folder."""

    def __init__(self, package: Path) -> None:
        self._path = package / "__pycache__" / f"syntax-{FORMAT}.{sys.implementation.cache_tag}.json"
        self._known: dict[str, Any] = files.known_json(self._path)
        self._new = False

    def read(self, path: Path) -> Syntax:
        """The syntax of a source file as it is now.

        Raises:
            SyntaxError: it is not Python.
        """
        content = path.read_bytes()
        key = hashlib.sha256(content).hexdigest()
        if (found := _entry(self._known.get(key))) is None:
            tree = ast.parse(content, filename=str(path))
            found = Syntax(tuple(_imports(tree)), _tree_hash(tree))
            self._known[key] = found
            self._new = True
        return found

    def keep(self) -> None:
        """Write what is new, where the folder can be written."""
        if self._new:
            newest = list(self._known.items())[-MOST:]
            with contextlib.suppress(OSError):
                files.write_text(self._path, json.dumps(dict(newest), indent=0))  # lines: `grep -r` prints them
            self._new = False


@functools.cache
def sources(package: Path) -> Sources:
    """The sources that are kept for the package in a folder."""
    return Sources(package)


def _entry(value: Any) -> Syntax | None:
    """What was kept of a source; None if nothing was, or something else than this module writes."""
    try:
        imports, tree = value
        return Syntax(tuple(Import(int(level), str(module), tuple(names)) for level, module, names in imports), tree)
    except (TypeError, ValueError):
        return None


def _imports(tree: ast.Module) -> Iterator[Import]:
    for node in _statements(tree):
        if isinstance(node, ast.Import):
            yield from (Import(0, alias.name, ()) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield Import(node.level, node.module or "", tuple(alias.name for alias in node.names))


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """The statements below a node; expressions, most of a tree, are skipped: they hold no import and no docstring."""
    for block in ("body", "handlers", "orelse", "finalbody", "cases"):
        for statement in getattr(node, block, ()):
            yield statement
            if not isinstance(statement, ast.Expr):
                yield from _statements(statement)


def _tree_hash(tree: ast.Module) -> str:
    """Changes `tree`: docstrings and the arguments of ``raise UserError(...)`` are taken out before it is hashed."""
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
