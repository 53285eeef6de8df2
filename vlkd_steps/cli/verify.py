"""Train a finished run, or a model that was pre-trained here, again and compare every byte.

    vlkd verify runs/scenes/scenes_vqa/vilt_scenes/clip_td/1000/s1
    vlkd verify models/vilt_scenes_pretrained

The inputs are first compared with their recorded hashes. Then the run is repeated with its config.yaml, in a scratch
folder that reads the project's data, features and models; nothing in the project is changed, and nothing is written to
MLflow. Model, predictions, scores and metrics are compared byte for byte, the journal's losses step by step; for a
pre-trained model, all files that `pretrain` listed.

Prints "equal", or what differs and what has changed since the run was trained. Exit status: 0 equal, 1 different,
2 a mistake to correct: no such run or model, an unfinished one, an input that is missing or has changed.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from vlkd_steps.cli import command
from vlkd_steps.core import step
from vlkd_steps.core.interruption import Interrupted, stop_request
from vlkd_steps.core.step import log
from vlkd_steps.core.terminal import say

DIFFERENT = 1


@step.entry
def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("run", type=Path, help="the folder of one seed's finished run, or models/NAME")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="train in this new folder, and keep it")
    given = parser.parse_args(argv)
    step.log_to(None)
    try:
        with stop_request() as stop:
            from vlkd_steps.verification import repetition  # polars and pyarrow only where there is work to do

            result = repetition.verify(command.from_project(given.run), given.keep, stop)
    except Interrupted as interruption:
        log.error("stopped; nothing was compared")
        return interruption.exit_status
    say(result.text())
    return 0 if result.equal else DIFFERENT


if __name__ == "__main__":
    raise SystemExit(main())
