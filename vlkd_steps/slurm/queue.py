"""In which state jobs are, by ``squeue``: one look for all waiters of a machine, however many they are.

squeue answers with and without an accounting database; sacct, which submitit asks, knows nothing where there is none,
and a waiter would wait for ever (ANCHORS 35). An ended job stays in the answer for some minutes (MinJobAge).
"""

import fcntl
import hashlib
import json
import os
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from vlkd_steps import files

FORMAT = "%i|%T|%P|%M|%l|%N|%r|%j"
TIMEOUT = 60  # seconds that a busy controller may take to answer
GOING_ON = {
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
        return self.state not in GOING_ON


class Queue:
    """This user's jobs, looked up at most every `interval` seconds by all processes of this machine together."""

    def __init__(self, interval: float) -> None:
        self.interval = interval
        cluster = f"{os.getuid()} {os.environ.get('SLURM_CONF', '')} {os.environ.get('SLURM_CLUSTERS', '')}"
        folder = Path(tempfile.gettempdir()) / f"vlkd-queue-{os.getuid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
        self.answer = folder / f"{hashlib.sha256(cluster.encode()).hexdigest()[:12]}.json"

    def look(self) -> dict[str, Seen] | None:
        """Jobs by id (``12``, or ``12_0`` for an array's task); None while the controller does not answer."""
        return self.since(time.time() - self.interval)

    def since(self, moment: float) -> dict[str, Seen] | None:
        """As `look`, by an answer that is younger than `moment` (``time.time()``)."""
        with self.answer.with_suffix(".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            at, rows = self._known()
            if at < moment:
                at, rows = time.time(), ask()
                files.write_text(self.answer, json.dumps([at, rows]))
        return None if rows is None else {row[0]: Seen(*row) for row in rows}

    def _known(self) -> tuple[float, list[list[str]] | None]:
        try:
            at, rows = json.loads(self.answer.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return 0.0, None
        return at, rows


def ask() -> list[list[str]] | None:
    """All jobs of this user, ended ones of the last minutes included; None where squeue fails."""
    command = ["squeue", "--me", "--array", "--noheader", "--states=all", f"--format={FORMAT}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, start_new_session=True)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode:
        return None
    rows = [line.split("|", 7) for line in done.stdout.splitlines()]
    return [row for row in rows if len(row) == 8]


def ending(job_id: str) -> str:
    """How a job ended, in a few words: ``FAILED, exit 0:9``; what Slurm still knows."""
    shown = _output("scontrol", "show", "job", "--oneliner", job_id)
    facts = dict(word.split("=", 1) for word in shown.split() if "=" in word)
    if "JobState" in facts:
        reason = facts.get("Reason", "None")
        return ", ".join(
            [facts["JobState"], f"exit {facts.get('ExitCode', '?')}", *([reason] if reason not in ("None", "") else [])]
        )
    told = _output("sacct", "--jobs", job_id, "--noheader", "--parsable2", "--allocations", "--format=State,ExitCode")
    first = next(iter(told.splitlines()), "")
    return ", exit ".join(first.split("|", 1)) if first else "gone from Slurm's memory"


def _output(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, start_new_session=True)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""
