"""Query one or two finished runs on a local page, side by side.

    vlkd demo RUN [RUN2] [--port 7860]

RUN is the folder of one seed, runs/EXPERIMENT/DATASET/STUDENT/VARIANT/SHOT/sSEED. The page takes an image that you
upload, or an item of the first run's test set, and shows each run's best answers with their probabilities. It is served
on 127.0.0.1 until Ctrl-C.
"""

import contextlib
import signal
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from vlkd_steps.cli import command
from vlkd_steps.core import step
from vlkd_steps.core.terminal import say


@command.single("demo", __doc__)
def main(
    run: Annotated[Path, Argument(help="the folder of a finished run")],
    other: Annotated[Path | None, Argument(metavar="[RUN2]", help="another one of the same task")] = None,
    port: Annotated[int, Option(min=0, max=65535, help="0 is any free one")] = 7860,
) -> None:
    step.log_to(None)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # TERM ends it as Ctrl-C does
    from vlkd_steps.deployment import finished_run, page  # torch only where there is work to do

    folders = [command.from_project(folder) for folder in (run, other) if folder is not None]
    shown = page.Page([finished_run.load(folder) for folder in folders])
    with contextlib.suppress(KeyboardInterrupt), page.Server(shown, port) as server:
        say(f"{server.address}\nCtrl-C ends it.", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    raise SystemExit(main())
