"""The embedded benchmark: generated locally, never downloaded."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vlkd_steps.benchmarks.scenes.write import write


def fetch(source: Mapping[str, Any], folder: Path) -> None:
    """Generate the scenes that the conf describes in `folder`, in the official format of each task.

    Raises:
        UserError: the conf has a key or a value that the generator does not know.
    """
    about_scenes = {key: value for key, value in source.items() if key not in ("name", "kind", "seed")}
    write(folder, about_scenes, source["seed"])
