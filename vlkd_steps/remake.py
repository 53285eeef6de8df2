"""What has to be made again although Snakemake cannot see it.

Snakemake compares file times, and what it remembers of jobs in `.snakemake/`. It does not see a file that no rule
declares; it takes a result for current where its memory is gone (deleted, or left behind by a copy), and where files
of another commit were put in the place of those that it remembers. Receipts travel with the results and tell.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from vlkd_steps import layout, phases, receipt
from vlkd_steps.files import sha256
from vlkd_steps.phases import Job

Params = Sequence[Any]
"""Values that Snakemake recorded for a job, as their ``repr``."""


def unseen(c: Mapping[str, Any], names: Sequence[str], recorded: Callable[[Path], Params | None]) -> dict[Path, str]:
    """Outputs whose jobs must run, each with the reason.

    Args:
        names: the phases to look at.
        recorded: what Snakemake remembers of the job that made a file; None where it remembers nothing.
    """
    found: dict[Path, str] = {}
    for phase in names:
        entries = receipt.read(layout.receipt(c["experiment"], phase))
        for job in phases.of_phase(c, phase):
            if all(path.is_file() for path in job.outputs) and (why := _why(job, entries, recorded)):
                found[job.outputs[0]] = why
    return found


def missing(c: Mapping[str, Any], names: Sequence[str]) -> list[Path]:
    """Declared outputs that are not there, of the phases that have been whole before: those that have a receipt."""
    whole = [phase for phase in names if layout.receipt(c["experiment"], phase).is_file()]
    outputs = (path for phase in whole for job in phases.of_phase(c, phase) for path in job.outputs)
    return [path for path in outputs if not path.is_file()]


def _why(job: Job, entries: Mapping[Path, receipt.Entry], recorded: Callable[[Path], Params | None]) -> str:
    """Why a job must run again whose outputs are all there; empty where nothing says so."""
    if gone := next(_gone(job, entries), None):
        return f"{gone} is missing"
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


def _gone(job: Job, entries: Mapping[Path, receipt.Entry]) -> Iterator[Path]:
    """Files of a job that no rule declares and that are not there."""
    yield from (path for path in job.beside if not path.is_file())
    for path in entries:
        if any(path.is_relative_to(folder) for folder in job.folders) and not path.is_file():
            yield path
    for path in job.outputs:
        if path.name == "manifest.json":
            yield from receipt.missing(path)
