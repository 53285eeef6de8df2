"""A run begins when the steps of earlier runs in its folder have ended: a killed Snakemake leaves its steps running.

Such a step would write the result of an older configuration over the new one, where it passes as current. So every step
that Snakemake starts holds a lock of its own for as long as it lives, and a run waits for all of these before it starts
a step. A step that is late, whose Snakemake ended before the lock was held, could have been missed there: it ends.
"""

import atexit
import contextlib
import functools
import os
import sys
import uuid
from pathlib import Path

from vlkd_steps.core import locks
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.terminal import say

VARIABLE = "VLKD_SNAKEMAKE"
"""Of a step: the id of the Snakemake process that has started it."""
PREFIX = f"export {VARIABLE}=$PPID; "
"""Bash commands for the rules' shells, each of which becomes its step's process."""
FOLDER = Path(".snakemake/vlkd_steps")
"""A lock of each running step, such as ``prepare-<32 hex digits>``; that of a killed step stays until a run begins."""

_held = contextlib.ExitStack()


def hold() -> None:
    """Hold a lock until this process ends, if Snakemake has started it as a step.

    Raises:
        UserError: that Snakemake has ended, or the file system has no locks.
    """
    started_by = os.environ.pop(VARIABLE, None)  # the processes that this one starts are no steps
    if started_by is None:
        return
    lock = FOLDER.absolute() / f"{Path(sys.argv[0]).stem}-{uuid.uuid4().hex}"
    _held.enter_context(locks.exclusive(lock, wait=None))
    atexit.register(lock.unlink, missing_ok=True)
    if str(os.getppid()) != started_by:
        raise UserError(
            f"the snakemake that started this step (process {started_by}) has ended, and a later one may make the same "
            "files; repeat the run's command"
        )


def wait() -> None:
    """Wait until every step of an earlier run in this folder has ended, and say for which.

    Raises:
        UserError: the file system has no locks.
    """
    for lock in sorted(FOLDER.glob("*")):
        with locks.in_turn(lock, functools.partial(_tell, lock.name.partition("-")[0])):
            lock.unlink(missing_ok=True)


def _tell(step: str, holder: str) -> None:
    say(
        f"note: waits for the step {step} ({holder}), which goes on although the snakemake that started it has ended; "
        "if that takes too long, end that process with kill: it saves, and cancels the Slurm jobs that it waits for",
        file=sys.stderr,
        flush=True,
    )
