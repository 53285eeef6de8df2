"""The folder under ``jobs/`` of a step's work: the jobs submitted for its parts, to find them again after a crash.

``job.json`` is written before and after each sbatch. A process that dies in between leaves a job without an id in the
file; it is found by its unique name, which starts with the work's prefix. An id alone proves nothing: the folder may be
a copy, and a new cluster gives the same ids again. The folder also has submitit's pickles and each job's log
``<id>_0_log.out``, to which its attempts append.
"""

import contextlib
import shutil
import time
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from submitit import SlurmExecutor, SlurmJob
from submitit.core.utils import DelayedSubmission, JobPaths, pickle_load

from vlkd_steps.core import files
from vlkd_steps.core.errors import UserError
from vlkd_steps.launch.slurm import attempt, queue, sbatch
from vlkd_steps.launch.slurm.request import Request
from vlkd_steps.launch.work import Part, Work


@dataclass
class Record:
    """A part that was submitted.

    Attributes:
        job_id: ``12``, or ``12_0`` for an array's task; "" until sbatch has answered.
        key: content key of the part that it was submitted for.
        deaths: how often a job of this part ended without a result.
    """

    job_id: str
    key: str
    deaths: int = 0


class Submission:
    """What was submitted for a work.

    Attributes:
        records: by the parts' names.
        foreign: ids in job.json of jobs that are not this folder's, and which are left alone.
    """

    def __init__(self, work: Work, request: Request, jobs: queue.Queue) -> None:
        self.work, self.request, self.jobs = work, request, jobs
        self.folder = work.folder.absolute()
        self.file = self.folder / "job.json"
        self.names = f"vlkd-{files.digest([str(self.folder), work.job])[:12]}"  # prefix of all its jobs' names
        self.name = ""
        self.records: dict[str, Record] = {}
        self.array: list[str] = []
        self.foreign: list[str] = []
        with contextlib.suppress(KeyError, TypeError):
            recorded = files.known_json(self.file)
            records = {name: Record(**record) for name, record in recorded["parts"].items()}
            if str(recorded["name"]).startswith(self.names):
                self.records, self.array, self.name = records, recorded["array"], recorded["name"]
            else:  # the folder was copied or moved
                self.foreign = [record.job_id for record in records.values() if record.job_id]

    def save(self) -> None:
        parts = {name: asdict(record) for name, record in self.records.items()}
        files.write_json(self.file, {"name": self.name, "array": self.array, "parts": parts})

    def submit(self, parts: Sequence[Part]) -> None:
        """Submit `parts`, several as one job array or as many as the cluster needs, and record their ids.

        Raises:
            UserError: sbatch rejects them or is missing.
        """
        size = sbatch.array_limit() if len(parts) > 1 else 1
        for begin in range(0, len(parts), size):
            self._submit_array(parts[begin : begin + size])

    def _submit_array(self, parts: Sequence[Part]) -> None:
        deaths = {part.name: self.records[part.name].deaths for part in parts if part.name in self.records}
        for part in parts:
            self.records[part.name] = Record("", part.key, deaths.get(part.name, 0))
        self.array = [part.name for part in parts]
        self.name = f"{self.names}-{uuid.uuid4().hex[:8]}"
        self.save()
        number = len(parts)
        arguments = [self.work.job] * number, [dict(part.config) for part in parts], [self.request.environment] * number
        made = self._executor().map_array(attempt.run, *arguments)
        for part, job in zip(parts, made, strict=True):
            self.records[part.name].job_id = str(job.job_id)
        self.save()

    def adopt(self, seen: dict[str, queue.Seen]) -> None:
        """Find jobs whose ids were never recorded: the submitter died after sbatch had accepted them.

        A recorded id that now belongs to a job of another name is dropped.
        """
        for name, record in list(self.records.items()):
            if record.job_id in seen and not self._own(seen[record.job_id]):
                self.foreign.append(self.records.pop(name).job_id)
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
            else:  # it cannot run without its pickle
                queue.cancel([job.job_id for job in mine if job.job_id.partition("_")[0] == base], self.jobs)
        for name in lost:
            if not self.records[name].job_id:
                del self.records[name]
        self.save()

    def _own(self, job: queue.Seen) -> bool:
        return job.name.startswith(self.names)

    def result(self, record: Record) -> dict[str, Any] | None:
        """How the part's job ended: its first process's result, or a user's mistake in any; None while it runs.

        A mistake in one process makes the others fail, or Slurm ends them before they have a result.
        """
        # In this order: where the first process's failure can be seen, its cause was written before it.
        found = [self._result(record, task) for task in range(self.request.processes)]
        mistakes = [each for each in found if each and each["status"] == 2 and each.get("message")]
        return mistakes[0] if mistakes else found[0]

    def _result(self, record: Record, task: int) -> dict[str, Any] | None:
        """`attempt.run`'s value in one of the job's processes, or status 1 with a traceback; None while it runs."""
        try:
            outcome, value = pickle_load(JobPaths(self.folder, record.job_id, task).result_pickle)
        except (FileNotFoundError, EOFError):
            return None
        return value if outcome == "success" else {"status": 1, "message": value}

    def log(self, record: Record) -> Path:
        path = JobPaths(self.folder, record.job_id).stdout
        return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path

    def cancel(self) -> tuple[list[str], list[str]]:
        """Cancel every job of this work, also those whose ids were never recorded, and forget them.

        Returns:
            The ids of the cancelled jobs, and of those that still run or are in an unknown state, which stay recorded.
        """
        seen = self.jobs.since(time.time())
        if seen is None:
            active = sorted(record.job_id for record in self.records.values() if record.job_id)
        else:
            active = sorted(job.job_id for job in seen.values() if self._own(job) and job.active)
        left = queue.cancel(active, self.jobs)
        self.records = {name: record for name, record in self.records.items() if record.job_id in left}
        self.save()
        return [job_id for job_id in active if job_id not in left], left

    def forget(self) -> None:
        """After success: delete the submission files but not the logs, and cancel jobs that are no longer needed."""
        queue.cancel([each.job_id for each in self.records.values() if self.result(each) is None], self.jobs)
        self.file.unlink(missing_ok=True)
        for pattern in ("*.pkl", "*submission*.sh"):
            for path in self.folder.glob(pattern):
                path.unlink(missing_ok=True)

    def _executor(self) -> "Executor":
        if shutil.which("sbatch") is None or shutil.which("srun") is None:
            raise UserError(
                "the launcher is slurm, but there is no sbatch on PATH; start on a login node of the cluster, or use "
                "another profile. `vlkd doctor --profile slurm` says more"
            )
        if reason := sbatch.pattern_in(self.folder):
            raise UserError(f"{reason}; {sbatch.MOVE}")
        made = Executor(self.folder, self.jobs)
        made.update_parameters(job_name=self.name, **self.request.parameters())
        return made


class Executor(SlurmExecutor):
    """submitit's executor, except that the queue confirms a job's id."""

    def __init__(self, folder: Path, jobs: queue.Queue) -> None:
        super().__init__(folder)
        self.jobs = jobs

    def _internal_process_submissions(self, delayed_submissions: list[DelayedSubmission]) -> list[Any]:
        """Submit one job or one array; submitit's version makes arrays with another executor."""
        pickles = [self.folder / f"{uuid.uuid4().hex}.pkl" for _ in delayed_submissions]
        for delayed, path in zip(delayed_submissions, pickles, strict=True):
            delayed.set_timeout(self.parameters["time"], self.max_num_timeout)
            delayed.dump(path)
        name, number = self.parameters["job_name"], len(pickles)
        if number > 1:
            self.parameters["map_count"] = number
        script = self.folder / f"{name}.sh"
        script.write_text(self._make_submission_file_text(self._submitit_command_str, ""), encoding="utf-8")
        base = sbatch.submit(script, name, self.jobs)
        ids = [f"{base}_{task}" for task in range(number)] if number > 1 else [base]
        made: list[SlurmJob[Any]] = [SlurmJob(self.folder, job_id, list(range(self._num_tasks()))) for job_id in ids]
        for job, path in zip(made, pickles, strict=True):
            job.paths.move_temporary_file(path, "submitted_pickle")
        made[0].paths.move_temporary_file(script, "submission_file")
        return made
