"""Job states from ``squeue``, by one query for all submitters of a machine.

squeue works with and without an accounting database; sacct, which submitit uses, returns nothing without one, and a
submitter would wait forever. An ended job stays in squeue's output for some minutes (MinJobAge).
"""

import hashlib
import os
import re
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass

from vlkd_steps.core import file_system, files, locks

FORMAT = "%i|%T|%P|%M|%l|%N|%r|%j"
TIMEOUT = 60  # seconds that a busy controller may take to answer
PATIENCE = 10.0  # seconds that another submitter may take to ask, before this one asks by itself
CANCELLED_BY = 10.0  # seconds that the queue may take to show that cancelled jobs end
NOT_ENDED = {
    *("PENDING", "RUNNING", "COMPLETING", "CONFIGURING", "SUSPENDED", "RESIZING", "SIGNALING", "STAGE_OUT", "STOPPED"),
    *("REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "RESV_DEL_HOLD", "SPECIAL_EXIT"),
}


@dataclass(frozen=True)
class Seen:
    """A job as squeue shows it; `elapsed` and `limit` as Slurm writes times."""

    job_id: str
    state: str
    partition: str
    elapsed: str
    limit: str
    nodes: str
    reason: str
    name: str

    @property
    def ended(self) -> bool:
        return self.state not in NOT_ENDED

    @property
    def active(self) -> bool:
        """Whether it has neither ended nor is completing."""
        return not self.ended and self.state != "COMPLETING"


@dataclass(frozen=True)
class Ending:
    """How a job ended.

    Attributes:
        state: such as ``FAILED``; empty if Slurm no longer knows the job.
        status: the batch script's exit status and the signal that ended it, such as ``0:9``.
        seconds: how long it ran, since its last start.
        reason: Slurm's, such as ``NonZeroExitCode``, or empty.
    """

    state: str
    status: str = ""
    seconds: int = 0
    reason: str = ""

    def __str__(self) -> str:
        """In words, with what to do about it."""
        if not self.state:
            return "no longer known to Slurm"
        how = ", ".join([self.state, f"exit {self.status}", *([self.reason] if self.reason else [])])
        return f"{how}; raise the profile's mem_mb or mem" if self.state == "OUT_OF_MEMORY" else how


class Queue:
    """This user's jobs, looked up at most every `interval` seconds by all processes of this machine together."""

    def __init__(self, interval: float) -> None:
        self.interval = interval
        cluster = f"{os.getuid()} {os.environ.get('SLURM_CONF', '')} {os.environ.get('SLURM_CLUSTERS', '')}"
        folder = file_system.user_folder() / "queue"
        file_system.make_private(folder)
        self.answer = folder / f"{hashlib.sha256(cluster.encode()).hexdigest()[:12]}.json"

    def look(self) -> dict[str, Seen] | None:
        """Jobs by id (``12``, or ``12_0`` for an array's task); None while the controller does not answer."""
        return self.since(time.time() - self.interval)

    def since(self, moment: float) -> dict[str, Seen] | None:
        """As `look`, from a query made after `moment` (``time.time()``)."""
        with locks.exclusive(self.answer.with_suffix(".lock"), wait=PATIENCE) as holder:
            if holder:  # it was stopped by Ctrl-Z, or waits for a busy controller
                return by_id(listed())
            known = files.known_json(self.answer)
            rows = known.get("rows")
            if not moment <= known.get("at", 0.0) <= time.time():  # a later answer: the clock was set back
                at, rows = time.time(), listed()
                files.write_text(self.answer, files.canonical({"at": at, "rows": rows}))
        return by_id(rows)


def by_id(rows: list[list[str]] | None) -> dict[str, Seen] | None:
    return None if rows is None else {row[0]: Seen(*row) for row in rows}


def listed() -> list[list[str]] | None:
    """All jobs of this user, ended ones of the last minutes included; None: squeue failed."""
    command = ["squeue", "--me", "--array", "--noheader", "--states=all", f"--format={FORMAT}"]
    done = _done(*command)
    if done is None or done.returncode:
        return None
    rows = [line.split("|", 7) for line in done.stdout.splitlines()]
    return [row for row in rows if len(row) == 8]


def cancel(ids: Sequence[str], jobs: Queue) -> list[str]:
    """Cancel jobs and watch them end, for a bounded time; returns those that still run or whose state is unknown."""
    if not ids:
        return []
    if _done("scancel", *ids) is None:  # no answer from Slurm
        return list(ids)
    limit = time.monotonic() + CANCELLED_BY
    while True:
        seen = jobs.since(time.time())
        left = [job_id for job_id in ids if seen is None or (job_id in seen and seen[job_id].active)]
        if not left or time.monotonic() >= limit:
            return left
        time.sleep(0.3)


def configuration() -> dict[str, str]:
    """``scontrol show config``; empty if the controller does not answer."""
    lines = _output("scontrol", "show", "config").splitlines()
    return {key.strip(): value.strip() for key, _, value in (line.partition("=") for line in lines)}


def ending(job_id: str) -> Ending:
    """How a job ended, as far as Slurm still knows."""
    shown = _output("scontrol", "show", "job", "--oneliner", job_id)
    facts = dict(word.split("=", 1) for word in shown.split() if "=" in word)
    if "JobState" in facts:
        reason, seconds = facts.get("Reason", "None"), _seconds(facts.get("RunTime", ""))
        return Ending(facts["JobState"], facts.get("ExitCode", "?"), seconds, "" if reason == "None" else reason)
    asked = ("--noheader", "--parsable2", "--allocations", "--format=State,ExitCode,Elapsed")
    accounting = _output("sacct", "--jobs", job_id, *asked)
    if not accounting.strip():
        return Ending("")
    state, status, elapsed = (*accounting.splitlines()[0].split("|"), "", "")[:3]
    # sacct writes ``CANCELLED by 1000``, scontrol CANCELLED
    return Ending(state.partition(" by ")[0], status, _seconds(elapsed))


def _seconds(text: str) -> int:
    """``1-02:03:04``, as Slurm writes times of its jobs; 0 for any other text."""
    found = re.fullmatch(r"(?:(\d+)-)?(\d+):(\d+):(\d+)", text)
    days, hours, minutes, seconds = (int(each or 0) for each in found.groups()) if found else (0, 0, 0, 0)
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


def _output(*command: str) -> str:
    done = _done(*command)
    return done.stdout if done is not None and done.returncode == 0 else ""


def _done(*command: str) -> subprocess.CompletedProcess[str] | None:
    """The completed command, whatever its status; None: it cannot be started or does not answer."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, start_new_session=True)
    except (OSError, subprocess.TimeoutExpired):
        return None
