"""Report the failed jobs of a Snakemake run and their logs, at its end and even if a profile's `quiet` hides them."""

import logging
import os
import sys
import tempfile
import time
from collections import deque
from pathlib import Path
from typing import Any

from snakemake.logging import logger
from snakemake_interface_logger_plugins.common import LogEvent

from vlkd_steps.core.redaction import redacted
from vlkd_steps.core.terminal import say

TAIL = 8  # lines of a rule's log
OF_EXECUTOR = 25  # lines of its executor's, which ends with some of its own
LENGTH = 300  # characters of a message: an executor's holds its whole command
KILLED = "(nothing: the process was killed, or ran out of memory or time, before it could write a message)"
NOTHING = "(nothing of this run: the process did not start, or could not read its configuration)"


class Failures(logging.Handler):
    """Collects failed jobs from Snakemake's log."""

    def __init__(self) -> None:
        super().__init__()
        self.started = time.time()
        self.jobs: dict[int, dict[str, Any]] = {}
        logger.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        event = getattr(record, "event", None)
        if event == LogEvent.JOB_ERROR:
            self.jobs[record.__dict__["jobid"]] = record.__dict__
        elif event == LogEvent.JOB_FINISHED:  # a second try that went well
            self.jobs.pop(record.__dict__["job_id"], None)

    def report(self) -> None:
        """Print each failed job's rule, number, log and the log's last lines, and what to do."""
        for _, job in sorted(self.jobs.items()):
            say("\n".join(described(job, self.started)), file=sys.stderr)
        if self.jobs:
            what = "1 job failed" if len(self.jobs) == 1 else f"{len(self.jobs)} jobs failed"
            say(
                f"{what}. Correct the errors above (`vlkd doctor` checks this machine); "
                "then repeat the command: it continues from here and does not repeat finished jobs.",
                file=sys.stderr,
                flush=True,
            )


def described(job: dict[str, Any], started: float) -> list[str]:
    """A failed job in a few lines: its rule and number, first output, Slurm's id, message, logs and their ends.

    Args:
        started: when the run started (``time.time()``): an older log belongs to another run.
    """
    outside = job["aux"].get("external_jobid")
    lines = [f"failed: rule {job['rule_name']}, job {job['jobid']}" + (f", Slurm job {outside}" if outside else "")]
    if job["output"]:
        lines.append(f"  output: {job['output'][0]}")
    if job["rule_msg"]:
        message = " ".join(redacted(str(job["rule_msg"])).split())
        lines.append(f"  message: {message[:LENGTH]}{' ...' if len(message) > LENGTH else ''}")
    own, *of_executor = job["log"] or [""]
    end = tail(Path(own), started, TAIL)
    lines += [f"  log: {own}", *(f"    {line}" for line in end)]
    for name in of_executor:  # shown only if the rule's log is empty, since it repeats that log
        more = tail(Path(name), started, OF_EXECUTOR) if end == [NOTHING] else []
        lines += [f"  log: {name}", *(f"    {line}" for line in more)]
    return lines


def tail(path: Path, started: float, lines: int) -> list[str]:
    """The last lines of a log, if it was written since `started`, by this machine's clock."""
    try:
        if path.stat().st_mtime < started + ahead(path.parent):
            return [NOTHING]
        with path.open(encoding="utf-8", errors="replace") as stream:
            return [line.rstrip() for line in deque((line for line in stream if line.strip()), lines)] or [KILLED]
    except FileNotFoundError:
        return [NOTHING]
    except OSError as error:
        return [f"(cannot be read: {error.strerror})"]


def ahead(folder: Path) -> float:
    """Seconds by which the clock of a folder's file system is ahead of this machine's: a file server has its own."""
    with tempfile.TemporaryFile(dir=folder) as just_made:
        return os.fstat(just_made.fileno()).st_mtime - time.time()
