"""The code that a run has planned for its jobs; a job loads this code or ends.

Snakemake records a job's result as that of the code with which the run began, and Python reads a module's source when
it first imports it. A job that loads an edited module would leave the result of other code, and whoever takes the edit
back would find it called current.
"""

import importlib.abc
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType

from vlkd_steps.core import fingerprint, running
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.files import known_json, write_json

VARIABLE = "VLKD_CODE"
"""Of a step: the fingerprint of its code that the Snakefile's process has calculated."""
FILE = Path(f".snakemake/vlkd_planned_code.{sys.implementation.cache_tag}.json")
"""Of the last run. By Python's version, whose syntax trees differ: a step in another Python (conda) is not compared."""


def remember() -> None:
    """Keep the fingerprints that this process, which plans, has calculated, with the modules that they cover."""
    write_json(FILE, fingerprint.CALCULATED)


def hold() -> None:
    """Compare this step's code with what was planned, and every module that it imports from now on as it is imported.

    A step that was started by hand has no plan. Later runs wait for this process (`running`, which every step needs
    as well: here it is in no fingerprint, since it changes no byte).

    Raises:
        UserError: a module was edited since, or the step's Snakemake has ended.
    """
    running.hold()
    if trees := known_json(FILE).get(os.environ.get(VARIABLE, "")):
        imports = _Imports(trees)
        for module in trees:
            imports.check(module)
        sys.meta_path.insert(0, imports)


class _Imports(importlib.abc.MetaPathFinder):
    """Refuses to import a module that was edited; it finds none itself."""

    def __init__(self, trees: Mapping[str, str]) -> None:
        self.trees = trees

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:
        if name in self.trees:
            self.check(name)

    def check(self, module: str) -> None:
        if fingerprint.tree(module) != self.trees[module]:
            raise UserError(
                f"the code of this step is not what this run has planned (module {module}): it was edited since, or "
                "Python finds another copy of it; repeat the run's command when it has ended, and if this comes again, "
                "uninstall one of the copies"
            )
