"""Orderly end of a run on a stop signal (Ctrl-C, TERM, a closed terminal): running steps save and end.

A second signal ends them at once. Snakemake's own handling is not enough: on Ctrl-C it may end in a traceback ("Cannot
close a running event loop"), on TERM it waits for its jobs however long they take, and on HUP it dies and leaves them
running.
"""

import contextlib
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterable
from types import FrameType
from typing import Any

import psutil
from snakemake.exceptions import WorkflowError
from snakemake.logging import logger
from snakemake.shell import shell

from vlkd_steps.core.interruption import ignored
from vlkd_steps.core.terminal import say

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
FIRST = (
    "stopping: running steps save and end; the same command continues from there (a second signal ends them at once)"
)
POLL = 1.0  # seconds between two looks for steps that are to end and jobs of a cluster that are to be cancelled
AGAIN = 60.0  # seconds until a job that is still there is cancelled once more: its executor only logs a timeout


def at_once() -> None:
    """Let a signal simply end this process, until `in_order` is called: nothing is running yet."""
    _handle(signal.SIG_DFL)


def in_order(scheduler: Any) -> None:
    """From now on, let a signal end the scheduler's jobs and then the run."""
    stop = _Stop(scheduler)
    _handle(stop)
    logger.addFilter(stop.wanted)


class _Stop:
    """Handles the signals of one run."""

    def __init__(self, scheduler: Any) -> None:
        self.scheduler = scheduler
        self.requested = False
        self.told: set[int] = set()
        self.again: dict[str, float] = {}  # by a cluster's job: when it is cancelled once more
        self.said: set[str] = set()

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            _kill()
            os._exit(128 + number)
        self.requested = True
        # Not in this thread, which may hold the scheduler's lock.
        threading.Thread(target=self._end, daemon=True).start()

    def _end(self) -> None:
        try:
            say(FIRST, file=sys.stderr, flush=True)
        except OSError:  # the terminal is gone
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
        with self.scheduler._lock:
            self.scheduler._user_kill = "stopped"  # "graceful" would have Snakemake repeat a line of its own
        self.scheduler._open_jobs.release()
        self._terminate(child.pid for child in psutil.Process().children())
        while True:  # also what is started or submitted just now
            self._terminate(_steps())
            self._cancel()
            time.sleep(POLL)

    def _terminate(self, pids: Iterable[int]) -> None:
        """Send TERM to processes, to each once: a second one may end a step before it has saved."""
        for pid in set(pids) - self.told:
            self.told.add(pid)
            with contextlib.suppress(psutil.NoSuchProcess):  # it has just ended by itself
                psutil.Process(pid).terminate()

    def _cancel(self) -> None:
        """Have a cluster cancel its jobs; those that are still there after a while, once more."""
        executor, now = self.scheduler._executor, time.monotonic()
        listed = list(getattr(executor, "active_jobs", ()))
        active = [job for job in listed if self.again.get(job.external_jobid, 0.0) <= now]
        if not active:
            return
        try:
            executor.cancel_jobs(active)
        except WorkflowError as error:  # such as a controller that does not answer
            if (message := str(error)) not in self.said:
                self.said.add(message)
                with contextlib.suppress(OSError):
                    say(f"{message}; trying again", file=sys.stderr, flush=True)
        else:
            self.again |= {job.external_jobid: now + AGAIN for job in active if job.external_jobid}

    def wanted(self, record: logging.LogRecord) -> bool:
        """Whether to log a record of Snakemake; after a stop, its errors only report steps that were stopped."""
        return not self.requested or record.levelno < logging.ERROR


def _steps() -> list[int]:
    """Process ids of the steps that run here now. This process has other children, such as a cluster's sbatch."""
    with shell._lock:
        return [process.pid for process in shell._processes.values()]


def _kill() -> None:
    """End all steps and their own children at once."""
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def _handle(handler: Any) -> None:
    if threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            if not ignored(number):
                signal.signal(number, handler)
