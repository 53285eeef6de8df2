"""Outputs that must be made again although Snakemake takes them for current.

Snakemake compares file times and its records of jobs in `.snakemake/`. Three cases escape it:

- a file that no rule declares is missing;
- its records are gone (deleted, or not copied with the project): it takes any result for current;
- an output was changed or replaced (by hand, by `dvc checkout` of another commit): it reruns only the jobs that
  depend on that file, not the job that makes it.

Phase manifests are stored with the results, so they show these cases.
"""

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from vlkd_steps.config.phases import Job
from vlkd_steps.core import layout
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.files import known_json, sha256, write_json
from vlkd_steps.graph import phase_manifest

SHOWN = 5  # reasons
SAME_TIME = 1e-3  # seconds by which a file's time may differ from its record's, which is a decimal fraction
COMPARED = Path(".snakemake/vlkd_compared.json")

Remember = Callable[[Path], float | None]
"""The modification time that a file had when its job ended, as Snakemake remembers it; None where it does not."""
Made = Mapping[str, Sequence[Job]]
"""The jobs by phase."""


def unseen(experiment: str, made: Made, remember: Remember) -> dict[Path, str]:
    """Outputs whose jobs must run, each with the reason; includes phase manifests that cannot be read."""
    found: dict[Path, str] = {}
    compared = _Compared()
    for phase, jobs in made.items():
        path = layout.phase_manifest(experiment, phase)
        entries = phase_manifest.read(path)
        for job in jobs:
            if not all(file.is_file() for file in job.outputs):
                continue  # a target, or Snakemake, asks for it
            if gone := next(_gone(job, job.beside), None):
                found[job.outputs[0]] = f"{gone} is missing"
            elif why := next(_distrust(job, entries, remember, compared), None):
                found[job.outputs[0]] = why
        if path.is_file() and jobs and not entries:
            found[path] = f"{path} cannot be read"
    compared.keep()
    return found


def notes(reasons: Sequence[str]) -> list[str]:
    """The reasons in a few lines, however many there are."""
    more = len(reasons) - SHOWN
    return [*reasons[:SHOWN], *([f"and the results of {more} more jobs, for such reasons"] if more > 0 else [])]


def check_links(made: Made) -> None:
    """Refuse to start with outputs that are links to nothing, as DVC leaves them when its cache was cleaned.

    Snakemake ends at them in an error of its own. They are not removed: their files may be brought back.

    Raises:
        UserError: there are some.
    """
    paths = (path for jobs in made.values() for job in jobs for path in job.outputs)
    if broken := [path for path in paths if path.is_symlink() and not path.exists()]:
        more = f", and {len(broken) - 1} more outputs are such links" if len(broken) > 1 else ""
        raise UserError(
            f"{broken[0]} is a link to a file that is gone{more}; bring the files back with `dvc checkout`, or delete "
            f"the links to have them made again: find {broken[0].parent} -xtype l -delete"
        )


def missing(experiment: str, made: Made) -> list[Path]:
    """Missing declared outputs of the phases that were complete before, which are those with a manifest."""
    whole = [jobs for phase, jobs in made.items() if layout.phase_manifest(experiment, phase).is_file()]
    return [path for jobs in whole for job in jobs for path in job.outputs if not path.is_file()]


def deleted(experiment: str, made: Made) -> Iterator[str]:
    """A reason for each job with a `missing` output that existed before: its phase's manifest still names it."""
    manifests = {phase: layout.phase_manifest(experiment, phase) for phase in made}
    named = {phase: phase_manifest.read(path) for phase, path in manifests.items()}
    for phase, jobs in made.items():
        for job in jobs:
            gone = [path for path in job.outputs if path in named[phase] and not path.is_file()]
            if len(gone) > 1:
                others = f"{len(gone) - 1} more of its job's outputs"
                yield f"{gone[0]} and {others} are missing, though {manifests[phase]} names them"
            elif gone:
                yield f"{gone[0]} is missing, though {manifests[phase]} names it"


def _gone(job: Job, left: Sequence[Path]) -> Iterator[Path]:
    """Missing files of a job that no rule declares."""
    yield from (path for path in left if not path.is_file())
    for path in job.outputs:
        if path.name == "manifest.json":
            yield from phase_manifest.missing(path)


class _Compared:
    """The files whose bytes were compared with a phase manifest in an earlier start.

    DVC may leave files with other times than Snakemake remembers, all of a project's with ``cache.type hardlink``.
    Hashing them at each start would take minutes.
    """

    _new = False

    @functools.cached_property
    def _known(self) -> dict[str, Any]:
        return known_json(COMPARED)

    def has(self, path: Path, expected: str) -> bool:
        """Whether a file has these bytes; read again only if it has changed since."""
        stat = path.stat()
        known = [stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, expected]
        if self._known.get(str(path)) != known:
            if sha256(path) != expected:
                return False
            self._known[str(path)] = known
            self._new = True
        return True

    def keep(self) -> None:
        """Write what is new, where the folder can be written."""
        if self._new:
            with contextlib.suppress(OSError):
                write_json(COMPARED, {name: known for name, known in self._known.items() if Path(name).exists()})


def _distrust(
    job: Job, entries: Mapping[Path, phase_manifest.Entry], remember: Remember, compared: _Compared
) -> Iterator[str]:
    """Why outputs of a job cannot be trusted to come from its configuration and code, though Snakemake trusts them.

    A file with the time that Snakemake remembers is assumed to be the one that its job left. An older time is no such
    sign: a copy of another version may keep its own.
    """
    for path in job.outputs:
        entry = entries.get(path)
        if _remembered(path, remember):
            continue  # as its job left it; Snakemake itself compares that job's params with the current ones
        if entry is not None and entry.made_by == job.made_by and compared.has(path, entry.sha256):
            continue  # touched, or brought by DVC
        if remember(path) is None:
            yield f"no record says by which configuration {path} was made"
        else:
            yield f"{path} was changed or replaced after it was made"
    if remember(job.outputs[0]) is None:  # a record has all that the job read
        yield from _other_originals(job, compared)


def _other_originals(job: Job, compared: _Compared) -> Iterator[str]:
    """The user's files that differ from what the job copied of them."""
    if originals := job.copied():
        copies = phase_manifest.named_by(job.outputs[0])
        for path, copy in originals.items():
            try:
                same = copy in copies and compared.has(path, copies[copy])
            except OSError:  # the job says what is wrong with it
                same = False
            if not same:
                yield f"{path} was added or changed since {job.outputs[0]} was made"


def _remembered(path: Path, remember: Remember) -> bool:
    """Whether a file still has the modification time that Snakemake recorded when its job ended."""
    ended = remember(path)
    return ended is not None and abs(ended - path.stat().st_mtime) < SAME_TIME
