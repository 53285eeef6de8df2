"""submitit's executor for Slurm, with ids of jobs that the queue has confirmed."""

import uuid
from pathlib import Path
from typing import Any

from submitit import SlurmExecutor, SlurmJob
from submitit.core.utils import DelayedSubmission

from vlkd_steps.launch.slurm import queue, sbatch


class Executor(SlurmExecutor):
    """submitit's, but a job's id is the queue's."""

    def __init__(self, folder: Path, jobs: queue.Queue) -> None:
        super().__init__(folder)
        self.jobs = jobs

    def _internal_process_submissions(self, delayed_submissions: list[DelayedSubmission]) -> list[Any]:
        """Submit one job, or one array; submitit's own makes its arrays by another executor than this one."""
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
