"""Train a model from which others start: a teacher or a student of the embedded benchmark (DESIGN 5).

    python -m vlkd_steps.pretrain --config '{"model": {"name": "clip_scenes", "kind": "clip", ...}}'

The kind names the room that does it: ``vlkd_steps/training/pretrain_<kind>.py``, with one function
``pretrain(config)`` that writes ``models/<name>/model.safetensors`` last.
"""

import importlib
import time
from collections.abc import Sequence

from vlkd_steps import layout, step
from vlkd_steps.errors import UserError
from vlkd_steps.tracking import provenance


@step.entry
def main(argv: Sequence[str] | None = None) -> int:
    started = time.monotonic()
    config = step.configuration(argv, __doc__)["model"]
    try:
        room = importlib.import_module(f"vlkd_steps.training.pretrain_{config['kind']}")
    except ModuleNotFoundError as error:
        if error.name != f"vlkd_steps.training.pretrain_{config['kind']}":
            raise
        raise UserError(
            f"model {config['name']} is of kind {config['kind']!r}, which nothing can pre-train; "
            f"write vlkd_steps/training/pretrain_{config['kind']}.py or correct the kind in its conf file"
        ) from None
    room.pretrain(config)
    provenance.record(layout.model(config["name"]), started)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
