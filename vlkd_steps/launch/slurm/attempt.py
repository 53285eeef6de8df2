"""One attempt at a part of a step's work, on the node. Slurm may interrupt it.

The contract of preemption, time limits and requeues:

- **USR2** comes `warning` seconds before the time limit. The job saves, requeues itself and ends.
- **TERM** comes when the job is preempted, requeued or cancelled. The job saves; if Slurm still reports it as running
  (during the grace time of a preemption) it requeues itself, so that the other job starts at once; then it ends.
- **kill -9** and lost nodes: no signal. The submitter finds a job that ended without a result and resubmits it.

An attempt that is to be continued ends by ``os._exit``: a return or an exception would count as its result.
Slurm starts a requeued job again with the same id and folder, and the run continues from its checkpoint.
"""

import importlib
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any

from vlkd_steps.core import planned_code, step
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.interruption import Interrupted, stop_request

STOPPED = 128  # an exit status above it names a signal
KILLED_BY = 60.0  # seconds within which Slurm ends the other processes of a training


def run(job: str, config: Mapping[str, Any], environment: Mapping[str, str]) -> dict[str, Any]:
    """Run ``job`` (``package.module:function``) with its configuration.

    Returns:
        ``status`` (0 success, 2 a user's mistake) and, for a mistake, its ``message``.
    """
    step.log_to(None)
    logging.captureWarnings(True)
    os.environ.update(environment)
    if int(os.environ.get("SLURM_NTASKS", "1")) > 1:
        from submitit.helpers import TorchDistributedEnvironment

        # accelerate picks each process's GPU by its LOCAL_RANK
        TorchDistributedEnvironment().export(set_cuda_visible_devices=False, overwrite=True)
    # Before torch is imported, which takes seconds: submitit ignores TERM until here.
    with stop_request() as stop:
        module, _, name = job.partition(":")
        try:
            stop.raise_if_set()
            planned_code.hold()
            status = getattr(importlib.import_module(module), name)(config)
        except UserError as mistake:
            return ended_by(mistake)
        except Interrupted as interruption:
            status = interruption.exit_status
        except SystemExit as ending:
            status = ending.code if isinstance(ending.code, int) else 1
    if status > STOPPED:
        go_on_later(status)
    return {"status": status}


def ended_by(mistake: UserError) -> dict[str, Any]:
    """The answer for a user's mistake, which submitit writes as this process's result.

    One of several processes writes it here and ends with status 2: after a return it would end with status 0, and Slurm
    would let the others wait for it (``srun --kill-on-bad-exit``).
    """
    answer = {"status": 2, "message": str(mistake)}
    if int(os.environ.get("SLURM_NTASKS", "1")) == 1:
        return answer
    from submitit.core import job_environment, utils

    with utils.temporary_save_path(job_environment.JobEnvironment().paths.result_pickle) as path:
        utils.cloudpickle_dump(("success", answer), path)
    step.log.error("error: %s", mistake)
    sys.stderr.flush()
    os._exit(2)


def go_on_later(status: int) -> None:
    """End this process so that Slurm starts the job again, unless it was cancelled."""
    if int(os.environ.get("SLURM_PROCID", "0")):
        time.sleep(KILLED_BY)  # the first process decides for all; when it ends, Slurm ends this one
    elif still_running():
        requeue()
    sys.stderr.flush()
    os._exit(status)


def still_running() -> bool:
    """Whether Slurm wants this job to run: it is neither cancelled nor already being requeued."""
    shown = subprocess.run(["scontrol", "show", "job", "--oneliner", job_id()], capture_output=True, text=True)
    return shown.returncode == 0 and " JobState=RUNNING " in f" {shown.stdout} "


def requeue() -> None:
    """Requeue this job. If that is not allowed, the submitter resubmits it."""
    done = subprocess.run(["scontrol", "requeue", job_id()], capture_output=True, text=True)
    if done.returncode:
        step.log.warning("saved; not requeued (scontrol requeue: %s)", done.stderr.strip())
        return
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # Slurm ends the job now; nothing is left to save
    step.log.info("saved; requeued")


def job_id() -> str:
    """This job; in an array ``12_0``, since SLURM_JOB_ID of its last task is 12, which to Slurm means all of them."""
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{task}" if array and task else os.environ["SLURM_JOB_ID"]
