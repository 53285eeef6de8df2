"""A work's folder under ``jobs/``: what was submitted for its parts, and how it is found again after a crash.

``job.json`` is written before and after each sbatch. A process that dies in between leaves a job that has no id in the
file; it is found by its name, which no other work has. Beside it lie submitit's pickles and each job's log
``<id>_0_log.out``, to which its attempts append.
"""

import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from submitit import SlurmExecutor
from submitit.core.utils import FailedJobError, FailedSubmissionError, JobPaths, pickle_load

from vlkd_steps import files
from vlkd_steps.errors import UserError
from vlkd_steps.slurm import attempt, queue
from vlkd_steps.slurm.request import Request
from vlkd_steps.training.launch import Part, Work


@dataclass
class Record:
    """A part that was submitted.

    Attributes:
        job_id: ``12``, or ``12_0`` for an array's task; "" between the intention and sbatch's answer.
        key: content key of the part that it was submitted for.
        deaths: how often a job of this part ended without a word.
    """

    job_id: str
    key: str
    deaths: int = 0


class Submission:
    """What was submitted for a work: `records` by the parts' names."""

    def __init__(self, work: Work, request: Request) -> None:
        self.work, self.request = work, request
        self.folder = work.folder.absolute()
        self.file = self.folder / "job.json"
        self.name = f"vlkd-{files.digest([str(self.folder), work.job])[:12]}"
        self.records: dict[str, Record] = {}
        self.array: list[str] = []
        with contextlib.suppress(FileNotFoundError, ValueError, KeyError, TypeError):
            kept = json.loads(self.file.read_text(encoding="utf-8"))
            self.records = {name: Record(**record) for name, record in kept["parts"].items()}
            self.array = kept["array"]

    def save(self) -> None:
        parts = {name: asdict(record) for name, record in self.records.items()}
        files.write_json(self.file, {"name": self.name, "array": self.array, "parts": parts})

    def submit(self, parts: Sequence[Part]) -> None:
        """Submit `parts`, several as one job array, and write down their ids.

        Raises:
            UserError: sbatch refuses, or is not here.
        """
        deaths = {part.name: self.records[part.name].deaths for part in parts if part.name in self.records}
        for part in parts:
            self.records[part.name] = Record("", part.key, deaths.get(part.name, 0))
        self.array = [part.name for part in parts]
        self.save()
        number = len(parts)
        arguments = [self.work.job] * number, [dict(part.config) for part in parts], [self.request.scratch] * number
        try:
            with unsignalled():  # a Ctrl-C in the middle of sbatch would leave a job that nobody knows
                jobs = self._executor().map_array(attempt.run, *arguments)
        except (FailedJobError, FailedSubmissionError, subprocess.CalledProcessError) as error:
            said = str(error).strip().splitlines()
            raise UserError(
                f"sbatch refuses the job: {said[-1] if said else error}. Correct this rule's resources "
                "(set-resources in profiles/<name>/config.yaml); `python -m vlkd_steps.doctor --profile <name>` "
                "compares them with the cluster"
            ) from error
        for part, job in zip(parts, jobs, strict=True):
            self.records[part.name].job_id = str(job.job_id)
        self.save()

    def adopt(self, seen: dict[str, queue.Seen]) -> None:
        """Find jobs whose ids were never written down: sbatch had answered when the waiter died."""
        lost = [name for name in self.array if name in self.records and not self.records[name].job_id]
        if not lost:
            return
        known = {record.job_id for record in self.records.values()}
        mine = [job for job in seen.values() if job.name == self.name and job.job_id not in known and not job.ended]
        ids = sorted({job.job_id.partition("_")[0] for job in mine}, key=int)
        for base in ids:
            own = [f"{base}_{number}" for number in range(len(self.array))] if len(self.array) > 1 else [base]
            if all(JobPaths(self.folder, job_id).submitted_pickle.exists() for job_id in own):
                for name, job_id in zip(self.array, own, strict=True):
                    self.records[name].job_id = job_id
            else:  # without its pickle it can only fail
                cancel([base])
        for name in lost:
            if not self.records[name].job_id:
                del self.records[name]
        self.save()

    def result(self, record: Record) -> dict[str, Any] | None:
        """How the part's job ended: `attempt.run`'s value, or status 1 with a traceback; None while it goes on."""
        try:
            outcome, value = pickle_load(JobPaths(self.folder, record.job_id).result_pickle)
        except (FileNotFoundError, EOFError):
            return None
        return value if outcome == "success" else {"status": 1, "message": value}

    def log(self, record: Record) -> Path:
        path = JobPaths(self.folder, record.job_id).stdout
        return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path

    def cancel(self) -> bool:
        """Cancel every job of this work and forget them; False, and all is as before, where Slurm does not answer."""
        if not cancel([f"--name={self.name}", f"--user={os.getuid()}"]):  # also those whose ids nobody knows
            return False
        self.records.clear()
        self.save()
        return True

    def forget(self) -> None:
        """After success: logs stay; what was needed to find the jobs again goes, and jobs that have no work left."""
        cancel([record.job_id for record in self.records.values() if self.result(record) is None])
        self.file.unlink(missing_ok=True)
        for path in self.folder.glob("*.pkl"):
            path.unlink(missing_ok=True)

    def _executor(self) -> SlurmExecutor:
        if shutil.which("sbatch") is None or shutil.which("srun") is None:
            raise UserError(
                "the launcher is slurm, but there is no sbatch on PATH; start on a login node of the cluster, or use "
                "another profile. `python -m vlkd_steps.doctor --profile slurm` says more"
            )
        executor = SlurmExecutor(self.folder)
        executor.update_parameters(job_name=self.name, **self.request.parameters())
        return executor


@contextlib.contextmanager
def unsignalled() -> Iterator[None]:
    """Hold INT and TERM back from this thread and the children that it starts until the block ends."""
    held = {signal.SIGINT, signal.SIGTERM}
    if threading.current_thread() is threading.main_thread():
        signal.pthread_sigmask(signal.SIG_BLOCK, held)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, held)


@contextlib.contextmanager
def only_waiter(folder: Path) -> Iterator[None]:
    """Wait until no other process waits for this work (one whose Snakemake was killed lives on for a moment)."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "waiter.lock").open("a") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)
        yield


def cancel(chosen: Sequence[str]) -> bool:
    """Cancel jobs by id or by options of scancel, those that have ended passed over; whether Slurm took the order."""
    if not chosen:
        return True
    try:
        done = subprocess.run(["scancel", *chosen], capture_output=True, timeout=queue.TIMEOUT, start_new_session=True)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
