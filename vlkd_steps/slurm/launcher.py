"""Submit a work's parts to Slurm, wait, tell what happens, try again what died, cancel on Ctrl-C.

What a waiter trusts, in this order: the part's own result (`Part.done`), the job's result file, and only then what
Slurm says of it. A killed waiter loses nothing: the next one finds the jobs by ``jobs/.../job.json``.
"""

import contextlib
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from vlkd_steps.errors import UserError
from vlkd_steps.slurm import queue
from vlkd_steps.slurm.request import Request
from vlkd_steps.slurm.submission import Record, Submission, cancel, only_waiter
from vlkd_steps.step import log
from vlkd_steps.training.launch import Part, Work

LATENCY = 60.0  # seconds that a result may take to appear on a shared file system
TAIL = 20  # lines of a failed job's log
STOLEN = ("PREEMPTED", "NODE_FAIL", "BOOT_FAIL")  # ended through no fault of its own


def wait_for(work: Work) -> int:
    """Bring every part of `work` to its end by Slurm jobs and return 0, or the status of the first that failed.

    Raises:
        UserError: a part's job ended with a user's mistake, sbatch refuses, or the profile's nodes x tasks are not the
            training's processes.
    """
    request = Request.of()
    if request.processes != work.processes:
        raise UserError(
            f"[{work.label}] the profile gives {request.nodes} nodes x {request.tasks} tasks = {request.processes} "
            f"processes, but the run trains in {work.processes} (training.processes, which changes bytes); set `nodes` "
            "and `tasks` under set-resources in the profile, or training.processes in params.yaml's overrides"
        )
    with only_waiter(work.folder), told_to_stop() as stop:
        submission = Submission(work, request)
        waiter = Waiter(work, submission, queue.Queue(request.poll), stop)
        try:
            status = waiter.wait()
        except UserError:
            submission.cancel()
            raise
        if stop.number:
            return waiter.leave()
        if status == 0:
            submission.forget()
        return status


class Stop:
    """INT or TERM, or that Snakemake is gone."""

    def __init__(self) -> None:
        self.number = 0
        self.parent = os.getppid()
        self._told = threading.Event()

    def note(self, number: int, frame: FrameType | None) -> None:
        self.number = number
        self._told.set()

    def orphaned(self) -> bool:
        return os.getppid() != self.parent

    def sleep(self, seconds: float) -> None:
        self._told.wait(seconds)


class Waiter:
    """One pass after the other over the parts that are not done."""

    def __init__(self, work: Work, submission: Submission, jobs: queue.Queue, stop: Stop) -> None:
        self.work, self.submission, self.queue, self.stop = work, submission, jobs, stop
        self.said: dict[str, str] = {}
        self.ended: dict[str, float] = {}  # since when a part's job has ended without a result
        self.failed: dict[str, int] = {}

    def wait(self) -> int:
        open_parts = self.attach()
        while open_parts and not self.stop.number:
            if self.stop.orphaned():
                log.info(f"[{self.work.label}] snakemake is gone; the jobs stay, the same command finds them again")
                raise SystemExit(1)
            seen = self.queue.look()
            again = []
            for part in list(open_parts):
                if self.over(part, seen):
                    open_parts.remove(part)
                elif seen is not None and self.died(part, seen):
                    again.append(part)
            again = [part for part in again if part in open_parts and part.name not in self.failed]
            open_parts = [part for part in open_parts if part.name not in self.failed]
            if again:
                self.submit(again)
            if open_parts:
                self.stop.sleep(min(1.0, self.queue.interval))
        return next(iter(self.failed.values()), 0)

    def attach(self) -> list[Part]:
        """Find the jobs of an earlier waiter, submit what has none, and return the parts to wait for."""
        parts = list(self.work.parts)
        if self.submission.records:
            seen = self.queue.since(time.time())
            while seen is None and not self.stop.number:  # submitting now could mean submitting twice
                log.info(f"[{self.work.label}] the Slurm controller does not answer; waiting for it")
                self.stop.sleep(10)
                seen = self.queue.since(time.time())
            self.submission.adopt(seen or {})
            self.cancel_outdated(seen or {})
        parts = [part for part in parts if self.known(part) or not part.done()]
        new = [part for part in parts if not self.known(part)]
        for part in parts:
            if self.known(part):
                self.tell(part, f"found again: job {self.record(part).job_id}")
        if new and not self.stop.number:
            self.submit(new)
        return parts

    def known(self, part: Part) -> bool:
        record = self.submission.records.get(part.name)
        return record is not None and record.key == part.key and bool(record.job_id)

    def record(self, part: Part) -> Record:
        return self.submission.records[part.name]

    def cancel_outdated(self, seen: dict[str, queue.Seen]) -> None:
        """Jobs that were submitted for another configuration, code or input would write into the same folder."""
        keys = {part.name: part.key for part in self.work.parts}
        records = self.submission.records
        outdated = [name for name, record in records.items() if keys.get(name, record.key) != record.key]
        running = [
            records[name].job_id for name in outdated if not getattr(seen.get(records[name].job_id), "ended", True)
        ]
        if running:
            log.info(f"[{self.work.label}] cancelled, as they were for an older configuration: {', '.join(running)}")
            cancel(running)
        for name in outdated:
            del records[name]

    def submit(self, parts: list[Part]) -> None:
        self.submission.submit(parts)
        for part in parts:
            self.ended.pop(part.name, None)
            self.tell(part, f"job {self.record(part).job_id} submitted  {self.place()}")

    def over(self, part: Part, seen: dict[str, queue.Seen] | None) -> bool:
        """Whether the part has come to its end; notes how, if it has failed."""
        record = self.record(part)
        result, done = self.submission.result(record), part.done()
        if done and (result is not None or self.idle(part, seen)):
            self.tell(part, f"job {record.job_id} done")
            return True
        if result is None or done:
            return False
        if result["status"] == 2:
            path = self.submission.log(record)
            raise UserError(result.get("message") or f"one of the training's processes was told a mistake: see {path}")
        if result["status"] == 0 and self.waited(part) < LATENCY:
            return False
        why = result.get("message") or (
            "its job ended well, but its result is not there" if result["status"] == 0 else f"status {result['status']}"
        )
        self.fail(part, 1, why.strip().splitlines()[-1])
        return True

    def idle(self, part: Part, seen: dict[str, queue.Seen] | None) -> bool:
        """Whether the job of a part that is done waits for nothing, or ended without a last word."""
        if seen is None:
            return False
        job = seen.get(self.record(part).job_id)
        return job is None or job.ended or job.state == "PENDING"

    def died(self, part: Part, seen: dict[str, queue.Seen]) -> bool:
        """Whether the part's job is gone without a result; says its state where that has changed."""
        record = self.record(part)
        job = seen.get(record.job_id)
        if job is not None and not job.ended:
            self.ended.pop(part.name, None)
            self.tell(part, f"job {record.job_id} {describe(job)}", key=f"{job.state} {job.nodes}")
            return False
        if self.submission.result(record) is not None or self.waited(part) < self.patience(job):
            return False
        how = queue.ending(record.job_id)
        state = how.partition(",")[0]
        if state == "CANCELLED":
            self.fail(part, 1, "somebody cancelled its job; the same command submits it again")
            return False
        if state not in STOLEN:
            record.deaths += 1
        if record.deaths >= self.submission.request.tries:
            self.fail(part, 1, f"{how}; tried {record.deaths} times, which the resource `tries` allows")
            return False
        self.tell(part, f"job {record.job_id} ended without a result ({how}); submitted again")
        return True

    def waited(self, part: Part) -> float:
        """Seconds since the part's job was first seen ended."""
        return time.monotonic() - self.ended.setdefault(part.name, time.monotonic())

    def patience(self, job: queue.Seen | None) -> float:
        """How long a result file may lag behind the job's end; a job that Slurm calls failed wrote none."""
        return LATENCY if job is None or job.state == "COMPLETED" else min(5.0, self.queue.interval)

    def fail(self, part: Part, status: int, why: str) -> None:
        path = self.submission.log(self.record(part))
        log.error(f"[{self.work.label} {part.name}] failed: {why}. The end of {path}:\n{tail(path)}")
        self.failed[part.name] = status
        self.submission.records.pop(part.name)
        self.submission.save()

    def leave(self) -> int:
        """After Ctrl-C or TERM: cancel what runs, or leave it to the next waiter."""
        ids = [record.job_id for record in self.submission.records.values()]
        if self.submission.request.detached:
            log.info(f"[{self.work.label}] left running: {', '.join(ids)}; the same command finds them again")
        else:
            self.submission.cancel()
            log.info(f"[{self.work.label}] cancelled: {', '.join(ids)}")
        return 128 + self.stop.number

    def place(self) -> str:
        request = self.submission.request
        return f"partition {request.slurm_partition or '(default)'}, limit {request.runtime} min"

    def tell(self, part: Part, text: str, key: str = "") -> None:
        """One line per change."""
        if self.said.get(part.name) != (key or text):
            self.said[part.name] = key or text
            log.info(f"[{self.work.label} {part.name}] {text}")


def describe(job: queue.Seen) -> str:
    """``RUNNING  gpu on node7, 0:12 of 4:00:00``, or ``PENDING (Resources)  gpu``."""
    if job.state == "RUNNING":
        return f"RUNNING  partition {job.partition} on {job.nodes}, {job.elapsed} of {job.limit}"
    reason = f" ({job.reason})" if job.reason not in ("", "None") else ""
    return f"{job.state}{reason}  partition {job.partition}"


def tail(path: Path) -> str:
    try:
        with path.open(encoding="utf-8", errors="replace") as stream:
            return "".join(f"    {line}" for line in deque(stream, TAIL)).rstrip()
    except OSError:
        return "    (the job wrote nothing)"


@contextlib.contextmanager
def told_to_stop() -> Iterator[Stop]:
    """Note INT and TERM for the length of the block. A hang-up (a lost ssh) ends the waiter and leaves its jobs."""
    stop = Stop()
    previous = {number: signal.signal(number, stop.note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
