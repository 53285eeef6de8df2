"""Report why jobs of Snakemake's own Slurm executor wait; it logs nothing between their submission and their end."""

import logging
import re
import sys
import threading

from snakemake.logging import logger

from vlkd_steps.core.terminal import say
from vlkd_steps.launch.slurm import waiting
from vlkd_steps.launch.slurm.queue import Queue, Seen

INTERVAL = 10.0  # seconds between two looks at the queue, which submitters share


class ExecutorWaits(logging.Handler):
    """Reads the name of this run's jobs from Snakemake's log; `watch` then reports why they wait."""

    def __init__(self) -> None:
        super().__init__()
        self.name_of_jobs = ""
        self._waits = waiting.Waits()
        self._said: dict[str, str] = {}
        logger.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        if found := re.match(r"SLURM run ID: (\S+)", record.getMessage()):
            self.name_of_jobs = found[1]

    def watch(self) -> None:
        """Poll the queue until this process ends, if Snakemake uses its Slurm executor."""
        if self.name_of_jobs:
            threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        queue, ended = Queue(INTERVAL), threading.Event()
        while not ended.wait(INTERVAL):
            for line in self.news(queue.look() or {}):
                say(line, file=sys.stderr, flush=True)

    def news(self, seen: dict[str, Seen]) -> list[str]:
        """One line for each of the run's jobs whose reason for waiting has changed."""
        lines = []
        for job in seen.values():
            if job.name != self.name_of_jobs or job.ended or job.state in ("RUNNING", "COMPLETING", "CONFIGURING"):
                continue
            text, key = self._waits.described(job)
            before = self._said.get(job.job_id)
            self._said[job.job_id] = key
            if before != key and (before is not None or waiting.advice(job)):
                lines.append(f"Slurm job {job.job_id} {text}")
        return lines
