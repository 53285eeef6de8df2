"""One process of a distributed training, as torch's launcher starts it (`launch.several_processes`).

python -m torch.distributed.run --nproc-per-node=2 -m vlkd_steps.launch.process MODULE:FUNCTION CONFIG.json
"""

import importlib
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from vlkd_steps.core import files, locks, planned_code, step
from vlkd_steps.launch.work import STEP


@step.entry
def main(argv: Sequence[str] | None = None) -> int:
    job, config = argv or sys.argv[1:]
    step.log_to(None)
    if lock := os.environ.get(STEP):
        threading.Thread(target=stop_when_orphaned, args=(Path(lock),), daemon=True).start()
    planned_code.hold()
    module, _, function = job.partition(":")
    status: int = getattr(importlib.import_module(module), function)(
        files.read_json(Path(config), "start the run again")
    )
    return status


def stop_when_orphaned(lock: Path) -> None:
    """Send this process a TERM, on which it saves, once the step that started it has gone, however that ended.

    Args:
        lock: the step holds it; then this process does, so that another start of the step waits for its end.
    """
    with lock.open("a") as stream:
        locks.take(stream.fileno(), lock, wait=True)
        os.kill(os.getpid(), signal.SIGTERM)
        threading.Event().wait()


if __name__ == "__main__":
    raise SystemExit(main())
