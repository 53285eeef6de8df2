"""kill -9 of a batch job's slurmstepd, on a cluster of one node that is started for the trials.

Nobody can then report the job's end to Slurm, which calls it running until its time limit. A trial submits a run of the
small project as the `distill` step does, and kills slurmstepd at some moment of the training, or as soon as its
weights, or its journal's end, are there. The step has to end with status 0 soon after, to say so, and to cancel the
job; where slurmstepd had reported the end before it was killed, there is nothing to say.
"""

import contextlib
import functools
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from fault_kinds.outcomes import Trial
from fault_kinds.small_project import Job, Undisturbed, contents, different, make

CLUSTER = Path(__file__).parents[2] / "scripts" / "slurm_dev_cluster"
FAULTS = ("kill -9 of slurmstepd while the job runs", "kill -9 of slurmstepd when the result is there")
PLACE = {"launcher": "slurm", "slurm_partition": "normal", "runtime": 10, "warning": 30, "mem_mb": 500, "poll": 1}
SOON = 60.0  # seconds from the published result to the end of the command
LONGEST = 240.0


@contextlib.contextmanager
def trials(scratch: Path, seed: int) -> Iterator[Callable[[int], Trial]]:
    """Start the cluster and make the project; yields what makes the trial of a number."""
    os.environ["VLKD_CLUSTER"] = str(scratch / "slurm")
    try:
        said = subprocess.run([CLUSTER, "up"], stdout=subprocess.PIPE, text=True, check=True).stdout
        os.environ["SLURM_CONF"] = said.strip().partition("=")[2]
        yield functools.partial(trial, make(scratch, other=False), seed)
    finally:
        subprocess.run([CLUSTER, "down"], check=True)


def trial(undisturbed: Undisturbed, seed: int, number: int) -> Trial:
    """Inject one fault, wait, and judge."""
    choice = random.Random(f"{seed} slurm {number}")
    found = Trial(number, FAULTS[number % len(FAULTS)])
    start = choice.choice([n for n, job in enumerate(undisturbed.jobs) if job.name == "distill"])
    folder = undisturbed.folder.parent / f"trial-{number}"
    project = folder / "project"
    shutil.copytree(undisturbed.before(start), project)
    log = folder / "said.txt"
    with log.open("w") as output:
        step = submitter(project, undisturbed.jobs[start], output)
        try:
            found.outcome = struck(project, undisturbed.jobs[start], step, log, found, choice)
        finally:
            if step.poll() is None:
                os.killpg(step.pid, signal.SIGKILL)
                step.wait()
    found.notes.append(log.read_text())
    if "Traceback" in found.notes[-1]:
        found.outcome = "traceback"
    differing = different(without_jobs(undisturbed.before(start + 1)), without_jobs(project))
    if found.outcome == "same" and differing:
        found.notes.append(f"differing: {', '.join(differing)}")
        found.outcome = "WRONG"
    shutil.rmtree(folder)
    return found


def submitter(project: Path, job: Job, output: object) -> "subprocess.Popen[bytes]":
    for path in job.outputs:
        (project / path).unlink(missing_ok=True)
    place = {f"VLKD_{name.upper()}": str(value) for name, value in PLACE.items()}
    return subprocess.Popen(
        [sys.executable, "-m", job.module, *job.arguments],
        cwd=project,
        env={**os.environ, **place},
        stdout=output,  # type: ignore[call-overload]
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def struck(
    project: Path, job: Job, step: "subprocess.Popen[bytes]", log: Path, found: Trial, choice: random.Random
) -> str:
    """Kill the job's slurmstepd, wait for the end of the step, and judge what it says."""
    if not wait(lambda: " RUNNING " in log.read_text() or step.poll() is not None):
        return "hangs"
    job_id = re.search(r"job (\d+) RUNNING", log.read_text())
    if not job_id:
        return "unhelpful"
    stepd = pid(rf"slurmstepd: \[{job_id[1]}\.batch\]")
    [folder] = {(project / path).parent for path in job.outputs if path.endswith("config.yaml")}

    def weights() -> bool:
        return any(folder.glob("work/*/model.safetensors"))

    def ended() -> bool:
        path = folder / "journal.jsonl"
        return path.is_file() and b'"event":"end"' in path.read_bytes()

    if found.fault == FAULTS[0]:
        delay = choice.uniform(0, 4)
        found.where = f"{job.outputs[0]}, {delay:.1f} s after the start"
        time.sleep(delay)
    else:
        what = choice.choice([weights, ended])
        found.where = f"{job.outputs[0]}, {what.__name__}"
        wait(what, pause=0.002)
    early = not ended()
    try:
        os.kill(stepd, signal.SIGKILL)
    except ProcessLookupError:
        found.where += " (the job had ended)"
        return "same" if step.wait(SOON) == 0 else "WRONG"
    found.where += ", before the end" if early else ", after the end"
    if not wait(ended):
        return "hangs"
    try:
        status = step.wait(SOON)
    except subprocess.TimeoutExpired:
        return "hangs"
    if status:
        return "WRONG"
    said = re.search(rf"job {job_id[1]} left the result, but Slurm calls it running .*; cancelled", log.read_text())
    squeue = ["squeue", "--noheader", "--states=all", "--format=%T", f"--jobs={job_id[1]}"]
    state = subprocess.run(squeue, capture_output=True, text=True).stdout.strip()
    found.where += f", then {state}"
    if state == "RUNNING":
        return "WRONG"
    return "same" if said or state == "COMPLETED" else "unsaid"  # it had reported the end already


def wait(happened: Callable[[], bool], pause: float = 0.05) -> bool:
    until = time.monotonic() + LONGEST
    while not happened():
        if time.monotonic() > until:
            return False
        time.sleep(pause)
    return True


def pid(pattern: str) -> int:
    return int(subprocess.run(["pgrep", "-f", pattern], capture_output=True, text=True, check=True).stdout)


def without_jobs(project: Path) -> dict[str, str]:
    """`contents`, but for what Slurm's jobs leave: their own output."""
    return {name: value for name, value in contents(project).items() if not name.startswith("jobs/")}
