"""What has to be made again although Snakemake cannot see it.

Snakemake compares file times, and what it remembers of jobs in `.snakemake/`. It does not see a file that no rule
declares; it takes a result for current where its memory is gone (deleted, or left behind by a copy), and where files
of another commit were put in the place of those that it remembers. Receipts travel with the results and tell.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from vlkd_steps import layout, receipt
from vlkd_steps.files import sha256
from vlkd_steps.phases import Job

SHOWN = 5
Params = Sequence[Any]
"""Values that Snakemake recorded for a job, as their ``repr``."""


Made = Mapping[str, Sequence[Job]]
"""The jobs by phase."""


def unseen(experiment: str, made: Made, recorded: Callable[[Path], Params | None]) -> dict[Path, str]:
    """Outputs whose jobs must run, each with the reason.

    Args:
        recorded: what Snakemake remembers of the job that made a file; None where it remembers nothing.
    """
    found: dict[Path, str] = {}
    for phase, jobs in made.items():
        entries = receipt.read(layout.receipt(experiment, phase))
        below: dict[Path, list[Path]] = {}
        for path in entries:
            for folder in path.parents:
                below.setdefault(folder, []).append(path)
        for job in jobs:
            if not all(path.is_file() for path in job.outputs):
                continue  # a target, or Snakemake, asks for it
            left = [*job.beside, *(path for folder in job.folders for path in below.get(folder, ()))]
            if gone := next(_gone(job, left), None):
                found[job.outputs[0]] = f"{gone} is missing"
            elif why := _distrust(job, entries, recorded):
                found[job.outputs[0]] = why
    return found


def notes(reasons: Sequence[str]) -> list[str]:
    """The reasons in a few lines, however many there are."""
    more = len(reasons) - SHOWN
    return [*reasons[:SHOWN], *([f"and the results of {more} more jobs, for such reasons"] if more > 0 else [])]


def missing(experiment: str, made: Made) -> list[Path]:
    """Declared outputs that are not there, of the phases that have been whole before: those that have a receipt."""
    whole = [jobs for phase, jobs in made.items() if layout.receipt(experiment, phase).is_file()]
    return [path for jobs in whole for job in jobs for path in job.outputs if not path.is_file()]


def _gone(job: Job, left: Sequence[Path]) -> Iterator[Path]:
    """Files that a job left, that no rule declares, and that are not there."""
    yield from (path for path in left if not path.is_file())
    for path in job.outputs:
        if path.name == "manifest.json":
            yield from receipt.missing(path)


def _distrust(job: Job, entries: Mapping[Path, receipt.Entry], recorded: Callable[[Path], Params | None]) -> str:
    """Why a job's outputs are not those of the configuration, where Snakemake takes them for that; else empty."""
    first = job.outputs[0]
    made_by = [entries[path].made_by for path in job.outputs if path in entries]
    if len(made_by) == len(job.outputs) and set(made_by) == {job.made_by}:
        return ""
    params = recorded(first)
    if params is None:
        return f"nothing here says by which configuration {first} was made"
    if repr(job.config) in params and first in entries and entries[first].sha256 == sha256(first):
        return f"{first} was made by another configuration or other code"
    return ""  # the receipt is older than the file, and Snakemake remembers what made it
