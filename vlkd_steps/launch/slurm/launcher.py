"""Submits the parts of a step's work to Slurm, waits, logs state changes, resubmits failed jobs, cancels on Ctrl-C.

A submitter trusts, in this order: the part's own result (`Part.done`), the job's result file, and only then the state
that Slurm reports. If a submitter is killed or its ssh connection lost, the next one finds the jobs by
``jobs/.../job.json``.
"""

import os
import time
from collections import deque
from pathlib import Path

from vlkd_steps.core import environment, locks
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.interruption import StopRequest, stop_request
from vlkd_steps.core.step import log
from vlkd_steps.launch.slurm import queue
from vlkd_steps.launch.slurm.request import Request
from vlkd_steps.launch.slurm.submission import Record, Submission
from vlkd_steps.launch.slurm.waiting import Waits
from vlkd_steps.launch.work import Part, Work

LATENCY = 60.0  # seconds that a result may take to appear on a shared file system
GRACE = 10.0  # seconds that Slurm may take to notice the end of a job that has written its result
TAIL = 20  # lines of a failed job's log
STOLEN = ("PREEMPTED", "NODE_FAIL", "BOOT_FAIL")  # the job is not at fault
SAVED = ("140:0", "143:0", "12:0", "15:0")  # it was told by USR2 or TERM; sacct leaves out the 128 of both
WORKED = 600.0  # seconds after which a job that saved is taken to have made progress


def wait_for(work: Work) -> int:
    """Run every part of `work` in Slurm jobs and return 0, or the status of the first that failed.

    Raises:
        UserError: a part's job ended with a user's mistake, sbatch refuses, or the profile's nodes x tasks are not the
            training's processes.
    """
    ignored = environment.use_own()
    environment.leave_job()
    if environment.not_used(ignored):
        log.info(f"note: {environment.not_used(ignored)}")
    request = Request.of()
    if request.processes != work.processes:
        raise UserError(
            f"[{work.label}] the profile gives {request.nodes} nodes x {request.tasks} tasks = {request.processes} "
            f"processes, but the run trains in {work.processes} (training.processes, which changes bytes); set `nodes` "
            "and `tasks` under set-resources in the profile, or training.processes in params.yaml's overrides"
        )
    # Only one process at a time waits for this work: one whose Snakemake was killed may still run for a moment.
    with locks.exclusive(work.folder / "submitter.lock", wait=None), stop_request() as stop:
        submission = Submission(work, request, queue.Queue(request.poll))
        submitter = Submitter(work, submission, stop)
        try:
            submitter.wait()
        except UserError:
            submitter.cancel()
            raise
        if stop:
            return submitter.leave()
        if submitter.failed:
            return 1
        submission.forget()
        return 0


class Submitter:
    """Polls the unfinished parts. A signal stops the polling, not the jobs."""

    def __init__(self, work: Work, submission: Submission, stop: StopRequest) -> None:
        self.work, self.submission, self.queue, self.stop = work, submission, submission.jobs, stop
        self.parent = os.getppid()
        self.said: dict[str, str] = {}
        self.waits = Waits()
        self.ended: dict[str, float] = {}  # by part: when its job was first seen ended without a result
        self.done: dict[str, float] = {}  # by job: when its part was first seen done
        self.ending: dict[str, float] = {}  # by job: when its result was first seen
        self.failed: set[str] = set()

    def wait(self) -> None:
        """Return when every part is done or has failed, or on a stop request."""
        waiting = self.attach()
        while waiting and not self.stop:
            if os.getppid() != self.parent:
                log.info(
                    f"[{self.work.label}] snakemake has ended; the jobs continue, and the same command finds them again"
                )
                raise SystemExit(1)
            seen = self.queue.look()
            waiting = [part for part in waiting if not self.over(part, seen)]
            self.end_ended(seen)
            dead = [part for part in waiting if seen is not None and self.died(part, seen)]
            waiting = [part for part in waiting if part.name not in self.failed]
            if dead:
                self.submit(dead)
            if waiting:
                time.sleep(min(1.0, self.queue.interval))
        while self.ending and not self.stop:
            time.sleep(0.5)
            self.end_ended(self.queue.since(time.time() - 1))

    def attach(self) -> list[Part]:
        """Find the jobs of an earlier submitter, submit parts without one, and return the parts to wait for."""
        if self.submission.records:
            seen = self.look_now()
            if seen is None:
                return []
            self.submission.adopt(seen)
            self.cancel_outdated(seen)
        if foreign := self.submission.foreign:
            log.info(
                f"[{self.work.label}] {self.work.folder / 'job.json'} has jobs that are not this project's (was it "
                f"copied or moved?); they are left alone: {', '.join(foreign)}; if it was moved, stop and scancel "
                "those that still run, which may write into this folder"
            )
        parts = [part for part in self.work.parts if self.known(part) or not part.done()]
        new = [part for part in parts if not self.known(part)]
        for part in parts:
            if self.known(part):
                self.log_event(part, f"found again: job {self.record(part).job_id}")
        if new:
            self.submit(new)
        return parts

    def look_now(self) -> dict[str, queue.Seen] | None:
        """The current queue, after waiting for the controller: without its answer a job might be submitted twice.

        None: a stop was requested.
        """
        while (seen := self.queue.since(time.time())) is None and not self.stop:
            if "silent" not in self.said:
                self.said["silent"] = ""
                log.info(f"[{self.work.label}] the Slurm controller does not answer; waiting for it")
            time.sleep(1)
        return seen

    def known(self, part: Part) -> bool:
        record = self.submission.records.get(part.name)
        return record is not None and record.key == part.key and bool(record.job_id)

    def record(self, part: Part) -> Record:
        return self.submission.records[part.name]

    def cancel_outdated(self, seen: dict[str, queue.Seen]) -> None:
        """Cancel jobs for another configuration, code or input, which would write into the same folder."""
        keys = {part.name: part.key for part in self.work.parts}
        records = self.submission.records
        outdated = [name for name, record in records.items() if keys.get(name, record.key) != record.key]
        jobs = [seen[records[name].job_id] for name in outdated if records[name].job_id in seen]
        running = [job.job_id for job in jobs if not job.ended]
        if left := queue.cancel(running, self.queue):
            raise UserError(
                f"[{self.work.label}] jobs for an older configuration still run after scancel, and would write into "
                f"the same folder: scancel {' '.join(left)}, then start again"
            )
        if running:
            log.info(
                f"[{self.work.label}] cancelled, because they were for an older configuration: {', '.join(running)}"
            )
        for name in outdated:
            del records[name]

    def submit(self, parts: list[Part]) -> None:
        self.submission.submit(parts)
        seen = self.queue.look() or {}
        for part in parts:
            self.ended.pop(part.name, None)
            job_id = self.record(part).job_id
            self.log_event(part, f"job {job_id} submitted  {self.granted(seen.get(job_id))}")

    def over(self, part: Part, seen: dict[str, queue.Seen] | None) -> bool:
        """Whether the part has ended; records a failure."""
        record = self.record(part)
        result, done = self.submission.result(record), part.done()
        if done and (result is not None or self.idle(part, seen)):
            self.log_event(part, f"job {record.job_id} done")
            if result is not None:
                self.ending[record.job_id] = time.monotonic()
            return True
        if result is None or done:
            return False
        if result["status"] == 2:
            path = self.submission.log(record)
            raise UserError(
                result.get("message") or f"one of the training's processes ended with a user error: see {path}"
            )
        if result["status"] == 0 and self.waited(part) < LATENCY:
            return False
        why = result.get("message") or (
            "its job succeeded but left no result" if result["status"] == 0 else f"status {result['status']}"
        )
        self.fail(part, why.strip().splitlines()[-1])
        return True

    def idle(self, part: Part, seen: dict[str, queue.Seen] | None) -> bool:
        """Whether the job of a finished part is needlessly pending, has ended, or does not end, and left no result."""
        if seen is None:
            return False
        job_id = self.record(part).job_id
        job = seen.get(job_id)
        since = self.done.setdefault(job_id, time.monotonic())
        return job is None or job.ended or job.state == "PENDING" or time.monotonic() - since > LATENCY

    def end_ended(self, seen: dict[str, queue.Seen] | None) -> None:
        """Cancel jobs that Slurm reports as running although they have written their result.

        If a node's slurmstepd was killed, nothing reports the end of its jobs, and Slurm shows them as running until
        their time limit.
        """
        jobs = {} if seen is None else {job_id: seen[job_id] for job_id in self.ending if job_id in seen}
        active = [job_id for job_id, job in jobs.items() if job.active]
        if seen is not None:
            self.ending = {job_id: self.ending[job_id] for job_id in active}
        limit = time.monotonic() - GRACE - self.queue.interval  # the age that `seen` may have
        late = [job_id for job_id, since in self.ending.items() if since < limit]
        for job_id in late:
            del self.ending[job_id]
        if any(job_id in active for job_id in late):  # by an answer that may be old
            now = self.queue.since(time.time())
            jobs = jobs if now is None else now
        if stuck := [job_id for job_id in late if job_id in jobs and jobs[job_id].active]:
            left = queue.cancel(stuck, self.queue)
            what = f"{', '.join(stuck)} wrote the result, but Slurm reports it as running"
            remedy = f"scancel {' '.join(left)} by hand" if left else "cancelled"
            log.info(f"[{self.work.label}] job {what} (was its slurmstepd killed?); {remedy}")

    def died(self, part: Part, seen: dict[str, queue.Seen]) -> bool:
        """Whether the part's job ended without a result; logs its state if that has changed."""
        record = self.record(part)
        job = seen.get(record.job_id)
        if job is not None and not job.ended:
            self.ended.pop(part.name, None)
            text, key = self.waits.described(job)
            self.log_event(part, f"job {record.job_id} {text}", key)
            return False
        if self.submission.result(record) is not None or self.waited(part) < self.patience(job):
            return False
        how = queue.ending(record.job_id)
        if how.state == "CANCELLED":
            self.fail(part, "its job was cancelled; the same command submits it again")
            return False
        if how.state not in STOLEN and not self.saved(how):
            record.deaths += 1
        if record.deaths >= self.submission.request.tries:
            self.fail(part, f"{how}; tried {record.deaths} times, the limit set by the resource `tries`")
            return False
        self.log_event(part, f"job {record.job_id} ended without a result ({how}); resubmitted")
        return True

    def saved(self, how: queue.Ending) -> bool:
        """Whether a job saved when Slurm told it to, made progress, and was not requeued (`attempt.go_on_later`).

        One that saves as soon as it has started would be submitted for ever.
        """
        request = self.submission.request
        least = min(WORKED, (60 * request.runtime - request.warning) / 2)
        return how.state == "FAILED" and how.status in SAVED and how.seconds >= least

    def waited(self, part: Part) -> float:
        """Seconds since the part's job was first seen ended."""
        return time.monotonic() - self.ended.setdefault(part.name, time.monotonic())

    def patience(self, job: queue.Seen | None) -> float:
        """Seconds to wait for a result file after the job's end; a failed job writes none."""
        return LATENCY if job is None or job.state == "COMPLETED" else min(5.0, self.queue.interval)

    def fail(self, part: Part, why: str) -> None:
        path = self.submission.log(self.record(part))
        log.error(f"[{self.work.label} {part.name}] failed: {why}. The end of {path}:\n{tail(path)}")
        self.failed.add(part.name)
        self.submission.records.pop(part.name)
        self.submission.save()

    def leave(self) -> int:
        """After Ctrl-C or TERM: cancel running jobs, or leave them to the next submitter."""
        if self.submission.request.detached:
            ids = ", ".join(record.job_id for record in self.submission.records.values() if record.job_id)
            log.info(f"[{self.work.label}] left running: {ids}; the same command finds them again")
        else:
            self.cancel()
        return 128 + self.stop.signal_number

    def cancel(self) -> None:
        """Cancel this work's jobs, and log which of them have ended."""
        cancelled, left = self.submission.cancel()
        if cancelled:
            log.info(f"[{self.work.label}] cancelled: {', '.join(cancelled)}")
        if left:
            log.error(
                f"[{self.work.label}] left running: {', '.join(left)}; Slurm still lists them. "
                f"Cancel them by hand: scancel {' '.join(left)}"
            )

    def granted(self, job: queue.Seen | None) -> str:
        """A submitted job's partition, which an sbatch wrapper or a rule of the cluster may have changed."""
        request = self.submission.request
        wanted, got = request.slurm_partition, job.partition if job else request.slurm_partition
        changed = f" (the profile requests {wanted})" if wanted and set(got.split(",")) - set(wanted.split(",")) else ""
        return f"partition {got or '(default)'}{changed}, limit {request.runtime} min"

    def log_event(self, part: Part, text: str, key: str = "") -> None:
        """Log a line if it has changed."""
        if self.said.get(part.name) != (key or text):
            self.said[part.name] = key or text
            log.info(f"[{self.work.label} {part.name}] {text}")


def tail(path: Path) -> str:
    try:
        with path.open(encoding="utf-8", errors="replace") as stream:
            return "".join(f"    {line}" for line in deque(stream, TAIL)).rstrip()
    except OSError:
        return "    (the job wrote nothing)"
