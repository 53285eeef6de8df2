"""Runs work that may need a GPU, here or on a cluster. ``VLKD_LAUNCHER`` names the launcher.

It is an environment variable because it changes no byte, and any change of a rule's ``params:`` triggers a rerun. A
launcher runs the work to its end and returns its status. A job is a plain function of a module that
does not import torch, so that a launcher that only waits stays small.
"""

import importlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vlkd_steps.core import files, locks
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.interruption import stop_request
from vlkd_steps.core.terminal import say

VARIABLE = "VLKD_LAUNCHER"
STEP = "VLKD_STEP"
"""Of the processes of a training: a lock that the step which started them holds as long as it lives."""
SAVING = 24 * 3600  # seconds that a stopped training may take until it has saved; torch kills it after 30 by itself


@dataclass(frozen=True)
class Part:
    """One part of a step's work; parts run independently and in parallel.

    Attributes:
        name: unique within the step, such as ``s10``.
        config: the configuration of its job.
        key: content key; a job that was submitted for another key does not count.
        done: whether its result exists.
    """

    name: str
    config: Mapping[str, Any]
    key: str
    done: Callable[[], bool]


@dataclass(frozen=True)
class Work:
    """What a step launches.

    Attributes:
        job: ``package.module:function``, called with a configuration, returns a status.
        label: its name in progress lines.
        folder: the cluster launcher's records, under ``jobs/``.
        config: the job's configuration for all parts at once.
        parts: what can run in parallel.
        processes: the number of processes that train each part (`training.processes`).
    """

    job: str
    label: str
    folder: Path
    config: Mapping[str, Any]
    parts: Sequence[Part]
    processes: int = 1


def launch(work: Work) -> int:
    """Run the work with the launcher that the environment names (default: ``local``) and return its status.

    Raises:
        UserError: no launcher has that name.
    """
    name = os.environ.get(VARIABLE) or "local"
    if name not in LAUNCHERS:
        raise UserError(
            f"{VARIABLE} is {name!r}, but there is no such launcher; available: {', '.join(sorted(LAUNCHERS))}. "
            "Set the rule's resource `launcher` (profiles/<name>/config.yaml, set-resources) to one of them"
        )
    return LAUNCHERS[name](work)


def workers() -> int:
    """The number of worker jobs of a step that can be divided freely (`VLKD_WORKERS`, which `slurm/request.py` checks).

    Without a cluster it is 1.
    """
    text = os.environ.get("VLKD_WORKERS", "") if os.environ.get(VARIABLE) == "slurm" else ""
    return max(1, int(text)) if re.fullmatch("[0-9]{1,9}", text) else 1


def local(work: Work) -> int:
    """Run all parts in this process, or a distributed training by torch's launcher."""
    if work.processes > 1:
        return several_processes(work)
    module, _, function = work.job.partition(":")
    status: int = getattr(importlib.import_module(module), function)(work.config)
    return status


def several_processes(work: Work) -> int:
    """Start the job in `work.processes` processes of this machine; a TERM is forwarded to them, and they end with this
    process.

    Raises:
        UserError: that of one of them.
    """
    config, mistake = work.folder / "config.json", work.folder / "mistake.txt"
    start = [sys.executable, "-m", "vlkd_steps.launch.processes", "--standalone", f"--nproc-per-node={work.processes}"]
    start.append(f"--shutdown-timeout={SAVING}")
    forwarded = False
    lock = (work.folder / "step.lock").absolute()

    def tell(holder: str) -> None:
        say(f"[{work.label}] waits for {holder}, which was started for the same runs", file=sys.stderr)

    # In this order: while it waits for another one, a signal ends this process.
    with locks.in_turn(lock, tell), stop_request() as stop:
        files.write_json(config, work.config)
        mistake.unlink(missing_ok=True)
        command = [*start, "-m", "vlkd_steps.launch.process", work.job, str(config), str(mistake)]
        child = subprocess.Popen(command, env=own_package() | {STEP: str(lock)})
        while child.poll() is None:
            if stop and not forwarded:  # a second TERM would end torch's launcher before the processes have saved
                child.terminate()
                forwarded = True
            time.sleep(0.2)
        if stop:
            return 128 + stop.signal_number
        if mistake.exists():
            raise UserError(mistake.read_text(encoding="utf-8"))
        return child.returncode


def own_package() -> dict[str, str]:
    """This process's environment, in which other processes find the same package whatever their path."""
    # By name, as below: which variables are dropped changes no byte.
    changed: dict[str, str] = importlib.import_module("vlkd_steps.core.environment").own_package(os.environ)
    return changed


def slurm(work: Work) -> int:
    """Submit the parts to Slurm, wait for them and return their status (`vlkd_steps.launch.slurm`)."""
    # By name: an import statement would make Slurm's code a part of every trained byte's fingerprint.
    status: int = importlib.import_module("vlkd_steps.launch.slurm.launcher").wait_for(work)
    return status


LAUNCHERS: dict[str, Callable[[Work], int]] = {"local": local, "slurm": slurm}
