"""Whether dvc.yaml watches the folders of the user's files and code that params.yaml names.

Snakemake reads them at each start. DVC looks only at the paths below ``deps``, and would call results current after an
edit elsewhere.
"""

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from vlkd_steps.config.models.preset import Params
from vlkd_steps.config.phases import PHASES
from vlkd_steps.core.errors import UserError

DVC_YAML = Path("dvc.yaml")
NOT_OURS = ("site-packages", "dist-packages")


def check(params: Params) -> None:
    """Refuse to let DVC record results of what it does not watch.

    Raises:
        UserError: it does not watch a folder of ``conf``, or a plugin in the project.
    """
    stages = _stages()
    if lacking := [path for path in _named(params) if not all(_watches(stages.get(phase), path) for phase in PHASES)]:
        below = " and ".join(f"`- {path}`" for path in lacking)
        raise UserError(
            f"params.yaml names {' and '.join(lacking)}, which {DVC_YAML} does not watch, so `dvc repro` would not see "
            f"an edit there; write {below} below every `- workflow` in {DVC_YAML}"
        )


def _named(params: Params) -> Iterator[str]:
    """The folders, from the project's root; of plugins those in it that are not installed into an environment."""
    for folder in params.conf:
        here = os.path.relpath(os.path.realpath(folder), os.path.realpath("."))
        yield os.path.normpath(folder) if here.startswith("..") else here
    for plugin in params.plugins:
        spec = importlib.util.find_spec(plugin)
        for folder in (spec.submodule_search_locations or []) if spec else []:
            path = Path(os.path.relpath(folder))
            if not any(part in NOT_OURS or part.startswith(".") for part in path.parts):
                yield path.as_posix()


def _stages() -> dict[str, Any]:
    """The stages of dvc.yaml; of a file that cannot be read, DVC says what is wrong."""
    try:
        stages = yaml.safe_load(DVC_YAML.read_text(encoding="utf-8"))["stages"]
    except (OSError, ValueError, yaml.YAMLError, TypeError, KeyError):
        return {}
    return stages if isinstance(stages, dict) else {}


def _watches(stage: Any, path: str) -> bool:
    """Whether a folder is below a dependency of a stage; True where there is no such stage."""
    deps = stage.get("deps") or [] if isinstance(stage, dict) else [path]
    return any(Path(path).is_relative_to(os.path.normpath(dep)) for dep in map(str, deps))
