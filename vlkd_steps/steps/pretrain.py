"""Pre-train a model: a teacher or a student of the embedded benchmark.

    python -m vlkd_steps.steps.pretrain --config '{"model": {"name": "clip_scenes", "kind": "clip", ...}}'

The kind names the module: ``vlkd_steps/runs/pretrain_<kind>.py``, whose function ``pretrain(config)`` writes
``models/<name>/``. A copy of all its files stays under ``models/<name>/work/`` (`runs.model_dir`), so that the result
of a job that outlived its submitter is used.
"""

import contextlib
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from vlkd_steps.core import components, layout, leftovers, locks, step
from vlkd_steps.core.errors import UserError
from vlkd_steps.launch.work import Part, Work, launch
from vlkd_steps.runs import model_dir
from vlkd_steps.runs.model_dir import ModelDir
from vlkd_steps.tracking import provenance


@step.entry
def main(argv: Sequence[str] | None = None) -> int:
    config = step.configuration(argv, __doc__)["model"]
    model = ModelDir.of(config)
    job = {"model": config, "kept": str(model.kept)}
    if not model.finished():
        name = config["name"]
        work = Work(
            job="vlkd_steps.steps.pretrain:train",
            label=f"pretrain {name}",
            folder=layout.submission("pretrain", name),
            config=job,
            parts=[Part("model", job, model.key[:16], model.finished)],
            processes=config["pretrain"].get("processes", 1),
        )
        status = launch(work)
        if status:
            return status
    with lock(model.folder, 60):  # a job that has just ended may still hold the lock
        model.publish()
    return 0


def train(job: Mapping[str, Any]) -> int:
    """The job: imports torch, so it runs only if there is something to train. The first process locks and keeps."""
    config, pretraining = job["model"], components.load("pretraining", job["model"]["kind"])
    if os.environ.get("RANK", "0") != "0":
        pretraining.pretrain(config)
        return 0
    started, folder = time.monotonic(), layout.model(config["name"])
    with lock(folder, 60 if "SLURM_JOB_ID" in os.environ else 0):  # an earlier attempt may still be ending
        before = model_dir.times(folder)
        pretraining.pretrain(config)
        provenance.record(folder, started, **computed_on())
        model_dir.keep(folder, before, Path(job["kept"]))
        if config["pretrain"].get("keep", "last") == "last":
            (folder / "work" / "last.safetensors").unlink(missing_ok=True)
    return 0


@contextlib.contextmanager
def lock(folder: Path, patience: float) -> Iterator[None]:
    """Lock a model's folder for this process, as a run directory (`RunDir.lock`).

    Args:
        patience: seconds to wait for another process to release it.

    Raises:
        UserError: another process holds the lock, or the file system has no locks.
    """
    with locks.exclusive(folder / "work" / "lock", wait=patience) as holder:
        if holder is not None:
            raise UserError(f"{folder} is in use by another process ({holder}); wait until it ends, or end it")
        leftovers.remove(folder)
        yield


def computed_on() -> dict[str, Any]:
    """Device, precision and threads of the training that has ended in this process."""
    import torch
    from accelerate.state import AcceleratorState

    state = AcceleratorState()
    precision = {"no": "fp32"}.get(state.mixed_precision, state.mixed_precision)
    return {"device": str(state.device), "precision": precision, "threads": torch.get_num_threads()}


if __name__ == "__main__":
    raise SystemExit(main())
