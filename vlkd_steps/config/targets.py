"""What a run needs of the phase `targets`, and the file that has it.

The file's name is a hash of the settings that change its content, so that variants which agree on them share it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vlkd_steps.config.models.method import Settings, declaration
from vlkd_steps.config.validation import validated
from vlkd_steps.core import layout
from vlkd_steps.core.files import digest


def wanted(settings: Settings) -> dict[str, Any] | None:
    """What has to be computed for a method with these settings; None: nothing."""
    return declaration(settings.name).targets(settings)


def key(of: Mapping[str, Any]) -> str:
    """The name of the file with what `wanted` says, 16 hex digits."""
    return digest(of)[:16]


def of_run(config: Mapping[str, Any], seed: int) -> Path | None:
    """The file that a run of a `distill` job reads; None: none."""
    method, teacher = config["method"], config.get("teacher")
    settings = validated(
        declaration(method["name"]).settings, method, locate=lambda at: (f"method {method['name']}", at)
    )
    of = wanted(settings)
    if of is None or not teacher:
        return None
    return layout.targets(config["dataset"]["name"], teacher["name"], config["shot"], seed, key(of))
