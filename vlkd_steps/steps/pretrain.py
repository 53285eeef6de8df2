"""Train a model from which others start: a teacher or a student of the embedded benchmark.

    python -m vlkd_steps.steps.pretrain --config '{"model": {"name": "clip_scenes", "kind": "clip", ...}}'

The kind names the module that does it: ``vlkd_steps/runs/pretrain_<kind>.py``, with one function
``pretrain(config)`` that writes ``models/<name>/model.safetensors`` last. Snakemake deletes that file on every rerun,
so a copy stays under ``models/<name>/work/``, from which a job that ended without a submitter is picked up.
"""

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vlkd_steps.core import artifacts, components, files, layout, step
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.fingerprint import fingerprint
from vlkd_steps.launch.work import Part, Work, launch
from vlkd_steps.tracking import provenance


@step.entry
def main(argv: Sequence[str] | None = None) -> int:
    config = step.configuration(argv, __doc__)["model"]
    job = {"model": config, "kept": str(kept(config))}
    if not kept(config).is_file():
        name = config["name"]
        work = Work(
            job="vlkd_steps.steps.pretrain:train",
            label=f"pretrain {name}",
            folder=layout.submission("pretrain", name),
            config=job,
            parts=[Part("model", job, kept(config).stem, kept(config).is_file)],
            processes=config["pretrain"].get("processes", 1),
        )
        status = launch(work)
        if status:
            return status
    files.link(kept(config), layout.model_weights(config["name"]))
    return 0


def kept(config: Mapping[str, Any]) -> Path:
    """The copy of the weights, under a key of all that they depend on: configuration, code, corpus, first weights.

    Raises:
        UserError: nothing pre-trains models of this kind.
    """
    try:
        code = fingerprint(components.module_name("pretraining", config["kind"]))
    except UserError as error:
        raise UserError(f"model {config['name']}: {error}; correct the kind in its conf file") from None
    making = config["pretrain"]
    read = [artifacts.instances(making["corpus"])] if making.get("corpus") else []
    read += [layout.model_weights(making["init"])] if making.get("init") else []
    key = files.digest([dict(config), code, [files.sha256(path) for path in read if path.is_file()]])
    return layout.model(config["name"]) / "work" / f"{key[:16]}.safetensors"


def train(job: Mapping[str, Any]) -> int:
    """The job: imports torch, so it runs only where something is to be trained."""
    started, config = time.monotonic(), job["model"]
    components.load("pretraining", config["kind"]).pretrain(config)
    if os.environ.get("RANK", "0") != "0":
        return 0
    provenance.record(layout.model(config["name"]), started)
    files.link(layout.model_weights(config["name"]), Path(job["kept"]))
    if config["pretrain"].get("keep", "last") == "last":
        (layout.model(config["name"]) / "work" / "last.safetensors").unlink(missing_ok=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
