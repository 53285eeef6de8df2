"""Which run owns a run folder: a folder's journal may tell of several, one after another."""

from pathlib import Path

import yaml

from vlkd_steps.core import layout


def run_key(folder: Path) -> str | None:
    """The run key that config.yaml names: whose model and predictions lie in the folder. None where it has none."""
    try:
        content = yaml.safe_load(layout.run_config(folder).read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError):
        return None
    return content.get("run_key") if isinstance(content, dict) else None
