"""Submit one script by sbatch and find the id of its job.

The output of sbatch is only a hint: a site's wrapper may print anything before and after it, or return its own exit
status. The queue decides, by the job's unique name. Nothing is ever submitted twice.

    python -m vlkd_steps.launch.slurm.sbatch OPTIONS  # sbatch for Snakemake's executor (workflow/bin/login):
        with --parsable it prints the job's id alone

submitit is not imported here: that takes longer than sbatch.
"""

import contextlib
import itertools
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from vlkd_steps.core.errors import UserError
from vlkd_steps.core.terminal import say
from vlkd_steps.launch.slurm import queue

PATIENCE = 30.0  # seconds for the queue to show a new job; a job waits 60 for the pickle named by its id
PRINTED = re.compile(r"^[ \t]*(?:Submitted batch job )?(\d+)(?:;\S+| on cluster \S+)?[ \t\r]*$", re.MULTILINE)
CORRECT = (
    "Correct this rule's resources (set-resources in profiles/<name>/config.yaml); "
    "`vlkd doctor --profile <name>` compares them with the cluster"
)
MOVE = "move the project to a folder without it"


def pattern_in(folder: Path) -> str | None:
    """What keeps jobs from writing into a folder, since sbatch expands the paths it is given; None: nothing.

    Not every ``%`` is expanded, but which are depends on Slurm's version.
    """
    found = next((letter for letter in str(folder) if letter in "%\\\r\n"), None)
    return None if found is None else f"{folder} has {found!r}, a character that sbatch takes for a pattern"


def submit(script: Path, name: str, jobs: queue.Queue) -> str:
    """Submit a script whose job has this name, and return the job's id (for an array, without a task number).

    Raises:
        UserError: sbatch refuses, or no such job appears.
    """
    with unsignalled():  # a Ctrl-C during sbatch would leave an unrecorded job
        done = subprocess.run([program(), "--parsable", str(script)], capture_output=True, text=True, errors="replace")
    printed = PRINTED.findall(done.stdout)
    # A busy controller may take a job whose sbatch has given up ("Socket timed out").
    taken = done.returncode == 0 or "timed out" in done.stderr
    limit = time.monotonic() + (PATIENCE if taken else 0)
    while True:
        seen = jobs.since(time.time())
        if found := bases(seen or {}, name):
            return next((job_id for job_id in printed if job_id in found), found[0])
        if time.monotonic() >= limit:
            break
        time.sleep(1)
    if done.returncode:
        raise UserError(f"sbatch refuses the job: {words(done)}. {CORRECT}")
    if seen is None and len(printed) == 1:
        return printed[0]  # the only hint while the controller does not answer
    raise UserError(
        f"sbatch succeeded, but {'Slurm does not answer' if seen is None else 'no job of this work is in the queue'} "
        f"({PATIENCE:.0f} s; squeue --name={name}). It printed: {shlex.quote(words(done))}. A "
        "wrapper around sbatch must pass all options on"
    )


def main(options: Sequence[str]) -> int:
    """sbatch with these options; with --parsable only the id of the job is printed, if the queue shows it."""
    with unsignalled():
        done = subprocess.run([program(), *options], stdout=subprocess.PIPE, text=True, errors="replace")
    name = next((value for option, value in itertools.pairwise(options) if option == "--job-name"), "")
    printed = done.stdout.rstrip("\n")
    if done.returncode == 0 and "--parsable" in options and not re.fullmatch(r"\d+(;\S+)?", printed):
        printed = among(re.findall(r"\d+", printed), name) or printed
    say(printed, flush=True)
    return done.returncode


def among(numbers: Sequence[str], name: str) -> str:
    """The id of the latest job of this name that is among the numbers; empty if the queue shows none."""
    limit = time.monotonic() + PATIENCE
    while True:
        rows = queue.listed() or []
        found = [row.job_id.partition("_")[0] for row in (queue.Seen(*each) for each in rows) if row.name == name]
        if ids := set(found) & set(numbers):
            return max(ids, key=int)
        if time.monotonic() >= limit:
            return ""
        time.sleep(1)


def program() -> str:
    """The cluster's sbatch, or the wrapper that comes first on the user's PATH."""
    return os.environ.get("VLKD_SBATCH") or "sbatch"


def bases(seen: dict[str, queue.Seen], name: str) -> list[str]:
    """Ids of the jobs and arrays of this name, without the numbers of an array's tasks, in the order of submission."""
    return sorted({job.job_id.partition("_")[0] for job in seen.values() if job.name == name}, key=int)


def words(done: subprocess.CompletedProcess[str]) -> str:
    """The output of sbatch, without the lines of a wrapper if they can be distinguished."""
    lines = [line.strip() for line in (done.stderr + "\n" + done.stdout).splitlines() if line.strip()]
    own = [line.removeprefix("sbatch: ").removeprefix("error: ") for line in lines if line.startswith("sbatch: ")]
    return "; ".join(own or lines) or f"nothing, and ended with status {done.returncode}"


@contextlib.contextmanager
def unsignalled() -> Iterator[None]:
    """Block INT and TERM in this thread and the children that it starts until the block ends."""
    held = {signal.SIGINT, signal.SIGTERM}
    if threading.current_thread() is threading.main_thread():
        signal.pthread_sigmask(signal.SIG_BLOCK, held)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, held)


def array_limit() -> int:
    """How many jobs one array may have (MaxArraySize, max_array_tasks); 1 where the cluster has no arrays."""
    settings = queue.configuration()
    limits = [
        settings.get("MaxArraySize", ""),
        *re.findall(r"max_array_tasks=(\d+)", settings.get("SchedulerParameters", "")),
    ]
    return max(1, min((int(each) for each in limits if each.isdigit()), default=1))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
