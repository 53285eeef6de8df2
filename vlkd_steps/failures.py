"""Which jobs of a Snakemake run failed, and where to look: what is printed last, whatever a profile's `quiet` hides."""

import logging
import sys
from collections import deque
from pathlib import Path
from typing import Any

from snakemake.logging import logger
from snakemake_interface_logger_plugins.common import LogEvent

TAIL = 8  # lines of a failed job's log
SILENT = "(empty: the process was killed, or ran out of memory or time, before it could write a message)"


class Failures(logging.Handler):
    """Listens to Snakemake's log from now on."""

    def __init__(self) -> None:
        super().__init__()
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
            print("\n".join(described(job)), file=sys.stderr)
        if self.jobs:
            what = "1 job failed" if len(self.jobs) == 1 else f"{len(self.jobs)} jobs failed"
            print(
                f"{what}. Correct what the log names; then the same command goes on from here: what is finished is not "
                "made again.",
                file=sys.stderr,
                flush=True,
            )


def described(job: dict[str, Any]) -> list[str]:
    """A failed job in a few lines: its rule and number, first output, Slurm's id, message, logs and their ends."""
    outside = job["aux"].get("external_jobid")
    lines = [f"failed: rule {job['rule_name']}, job {job['jobid']}" + (f", Slurm job {outside}" if outside else "")]
    if job["output"]:
        lines.append(f"  output: {job['output'][0]}")
    if job["rule_msg"]:
        lines.append(f"  message: {' '.join(str(job['rule_msg']).split())}")
    for name in job["log"]:
        lines += [f"  log: {name}", *(f"    {line}" for line in tail(Path(name)))]
    return lines


def tail(path: Path) -> list[str]:
    """The last lines of a log."""
    try:
        with path.open(encoding="utf-8", errors="replace") as stream:
            return [line.rstrip() for line in deque(stream, TAIL)] or [SILENT]
    except FileNotFoundError:
        return ["(not written: the process never started)"]
    except OSError as error:
        return [f"(cannot be read: {error.strerror})"]
