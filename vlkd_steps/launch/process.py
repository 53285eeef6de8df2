"""One process of a distributed training, as torch's launcher starts it (`launch.several_processes`).

python -m torch.distributed.run --nproc-per-node=2 -m vlkd_steps.launch.process MODULE:FUNCTION CONFIG.json
"""

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

from vlkd_steps.core import files, step


@step.entry
def main(argv: Sequence[str] | None = None) -> int:
    job, config = argv or sys.argv[1:]
    step.log_to(None)
    module, _, function = job.partition(":")
    status: int = getattr(importlib.import_module(module), function)(
        files.read_json(Path(config), "start the run again")
    )
    return status


if __name__ == "__main__":
    raise SystemExit(main())
