"""Pre-train a model: a teacher or a student of the embedded benchmark.

    python -m vlkd_steps.steps.pretrain --config '{"model": {"name": "clip_scenes", "kind": "clip", ...}}'

The kind names the module: ``vlkd_steps/runs/pretrain_<kind>.py``, whose function ``pretrain(config)`` writes
``models/<name>/``. A copy of all its files stays under ``models/<name>/work/`` (`runs.model_dir`), so that the result
of a job that outlived its submitter is used.
"""

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vlkd_steps.core import components, layout, leftovers, step
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
    model.publish()
    return 0


def train(job: Mapping[str, Any]) -> int:
    """The job: imports torch, so it runs only if there is something to train."""
    started, config = time.monotonic(), job["model"]
    folder = layout.model(config["name"])
    leftovers.remove(folder)
    before = model_dir.times(folder)
    components.load("pretraining", config["kind"]).pretrain(config)
    if os.environ.get("RANK", "0") != "0":
        return 0
    provenance.record(folder, started, **computed_on())
    model_dir.keep(folder, before, Path(job["kept"]))
    if config["pretrain"].get("keep", "last") == "last":
        (folder / "work" / "last.safetensors").unlink(missing_ok=True)
    return 0


def computed_on() -> dict[str, Any]:
    """Device, precision and threads of the training that has ended in this process."""
    import torch
    from accelerate.state import AcceleratorState

    state = AcceleratorState()
    precision = {"no": "fp32"}.get(state.mixed_precision, state.mixed_precision)
    return {"device": str(state.device), "precision": precision, "threads": torch.get_num_threads()}


if __name__ == "__main__":
    raise SystemExit(main())
