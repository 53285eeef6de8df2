"""The embedded benchmark: drawn locally, never downloaded."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vlkd_steps.benchmarks.scenes.write import write


def fetch(source: Mapping[str, Any], folder: Path) -> None:
    """Draw the scenes that the conf describes into `folder`, in the official formats of each task.

    Raises:
        UserError: a key or a value of the conf that the generator does not know.
    """
    about_scenes = {key: value for key, value in source.items() if key not in ("name", "kind", "seed")}
    write(folder, about_scenes, source["seed"])
