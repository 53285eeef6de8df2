"""A process that extracts with the counting teacher beside others, and records every row that it embeds.

python extraction_worker.py '{"pictures": ..., "store": ..., "log": ..., "round": ..., "seconds": ..., "die_at": ...,
                                  "together": how many such processes start at the same moment,
                                  "linger": seconds between the manifest and leaving}'
"""

import json
import logging
import os
import sys
import time
from pathlib import Path

import polars as pl
from counting_teacher import SETTINGS, CountingTeacher

from vlkd_steps.core import step
from vlkd_steps.core.interruption import Interrupted, stop_request
from vlkd_steps.teachers.features.extraction import extract
from vlkd_steps.teachers.features.store import FeatureStore

PICTURES = 24


class SlowTeacher(CountingTeacher):
    """Takes `seconds` for a batch and appends its rows to `log`, which all processes share."""

    def __init__(self, log: Path, seconds: float, die_at: int) -> None:
        super().__init__(die_at=die_at)
        self.log, self.seconds = log, seconds

    def _count(self, names: list[str]) -> None:
        super()._count(names)
        time.sleep(self.seconds)
        with self.log.open("a") as stream:  # appended whole: one short write
            stream.write("".join(f"{os.getpid()} {name}\n" for name in names))


def draw(folder: Path) -> None:
    folder.mkdir()
    for number in range(PICTURES):
        (folder / f"p{number:02d}.png").write_bytes(f"picture {number}".encode())


def table(folder: Path) -> pl.DataFrame:
    """One question about each of the images in `folder`."""
    rows = [
        (path.stem, str(path), f"What is thing number {number}?")
        for number, path in enumerate(sorted(folder.iterdir()))
    ]
    return pl.DataFrame(rows, schema=["image_id", "image_path", "text"], orient="row")


def finished(store: FeatureStore, linger: float) -> None:
    """Called under the lock that keeps the others from leaving."""
    step.log.info(f"finished {store.folder}")
    time.sleep(linger)


def main() -> int:
    job = json.loads(sys.argv[1])
    step.log_to(None)
    logging.captureWarnings(True)
    teacher = SlowTeacher(Path(job["log"]), job.get("seconds", 0.0), job.get("die_at", 0))
    rows = table(Path(job["pictures"]))
    with Path("ready").open("a") as stream:
        stream.write("x")
    while Path("ready").stat().st_size < job.get("together", 1):
        time.sleep(0.01)
    with stop_request() as stop:
        try:
            extract(
                teacher,
                rows,
                Path(job["store"]),
                SETTINGS,
                "test",
                shared_round=job.get("round"),
                stop=stop,
                on_finish=lambda store: finished(store, job.get("linger", 0.0)),
            )
        except Interrupted as interruption:
            return interruption.exit_status
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
