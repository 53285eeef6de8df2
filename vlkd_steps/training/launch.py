"""Where a job that may need a GPU runs: here, or on a cluster. ``VLKD_LAUNCHER`` names the launcher.

It comes by the environment because it changes no byte: whatever stands in a rule's ``params:`` triggers a rerun
(ANCHORS 25). A launcher takes the job and its configuration, returns when the job has ended, and returns its status.
The job is a plain function of a module that does not import torch, so that a launcher which only waits stays small.
"""

import os
from collections.abc import Callable, Mapping
from typing import Any

from vlkd_steps.errors import UserError

Job = Callable[[Mapping[str, Any]], int]
Launcher = Callable[[Job, Mapping[str, Any]], int]
VARIABLE = "VLKD_LAUNCHER"


def local(job: Job, config: Mapping[str, Any]) -> int:
    """Run the job in this process."""
    return job(config)


LAUNCHERS: dict[str, Launcher] = {"local": local}


def launch(job: Job, config: Mapping[str, Any]) -> int:
    """Run `job(config)` by the launcher that the environment names (none: ``local``) and return its status.

    Raises:
        UserError: no launcher has that name.
    """
    name = os.environ.get(VARIABLE) or "local"
    if name not in LAUNCHERS:
        raise UserError(
            f"{VARIABLE} is {name!r}, but there is no such launcher; available: {', '.join(sorted(LAUNCHERS))}. "
            "Set the rule's resource `launcher` (profiles/<name>/config.yaml, set-resources) to one of them"
        )
    return LAUNCHERS[name](job, config)
