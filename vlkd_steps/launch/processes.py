"""torch's launcher for the processes of a training (`launch.several_processes`).

python -m vlkd_steps.launch.processes --standalone --nproc-per-node=2 -m vlkd_steps.launch.process JOB CONFIG MISTAKE

It adds only that a user's mistake, which a process has written to the file MISTAKE, ends it without torch's report.
"""

import logging
import sys
from collections.abc import Sequence
from pathlib import Path


def main(argv: Sequence[str] | None = None) -> int:
    from torch.distributed import run
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    arguments = list(argv or sys.argv[1:])
    logging.disable(logging.ERROR)  # the report says the same
    try:
        run.main(arguments)
    except ChildFailedError:
        if Path(arguments[-1]).exists():
            return 2
        raise
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
