"""One process of a distributed training, as torch's launcher starts it (`launch.processes`).

python -m vlkd_steps.launch.process MODULE:FUNCTION CONFIG.json MISTAKE

A user's mistake goes to the file MISTAKE, for the step to report; the other processes then end without a word.
"""

import importlib
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from vlkd_steps.core import files, locks, planned_code, step
from vlkd_steps.core.errors import UserError
from vlkd_steps.launch.work import STEP

POLL = 1.0  # seconds between two looks for another process's mistake
LEFT = 3.0  # seconds in which this process may end by itself after one


@step.entry
def main(argv: Sequence[str] | None = None) -> int:
    job, config, mistake = argv or sys.argv[1:]
    told = Path(mistake)
    step.log_to(None)
    if lock := os.environ.get(STEP):
        threading.Thread(target=stop_when_orphaned, args=(Path(lock),), daemon=True).start()
    threading.Thread(target=end_after_mistake, args=(told,), daemon=True).start()
    module, _, function = job.partition(":")
    try:
        planned_code.hold()
        status: int = getattr(importlib.import_module(module), function)(
            files.read_json(Path(config), "start the run again")
        )
    except UserError as error:
        files.write_text(told, str(error))
        return 2
    except SystemExit as ending:
        if ending.code == 2:  # of `distributed.together`: the process with the mistake is about to write it
            time.sleep(POLL + LEFT)
        raise
    except (Exception, KeyboardInterrupt):
        if told.exists():  # what this follows from
            return 2
        raise
    return status


def end_after_mistake(told: Path) -> None:
    """End this process after a mistake in another one, for which it may wait for hours (`hardware.PATIENCE`)."""
    while not told.exists():
        time.sleep(POLL)
    time.sleep(LEFT)
    os._exit(2)


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
