"""What was tracked the last time, so that `track` with nothing new reads no journal and imports no MLflow.

A file of this machine beside the tracker's lock. It has a stamp of every run folder and the digest of every run that
was sent. It is a memory only: where a stamp differs, or MLflow holds something else, everything is read again.
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from vlkd_steps.core import files, layout, locks

PACKAGE = Path(__file__).parents[1]
CODE = ("core", "reporting", "tracking")  # what a record and its page in MLflow are made by


class Sent(NamedTuple):
    """A run as it was sent: the record's name and digest."""

    name: str
    digest: str


def stamp(folder: Path, reference: str) -> str:
    """Another text whenever a file that the run's records or artifacts are made of has changed.

    Of each file its size, both times and the inode: what is appended to has another size, what is replaced another
    inode, and a change in place sets the second time, which no program can set back.
    """
    shot, variant = folder.parent, folder.parent.parent
    compared = variant.parent / reference / shot.name / folder.name
    single = (layout.journal(folder), layout.run_config(folder), layout.provenance(folder), layout.metrics(folder))
    found = [_stat(path) for path in (*single, layout.metrics(compared))]
    found += [each for name in ("predictions", "scores") for each in _listing(folder / name)]
    return files.digest(found)[:24]


def results_stamp(experiment: str) -> str:
    """Another text whenever `compare` has written its tables again."""
    folder = layout.results(experiment)
    return files.digest([_stat(folder / name) for name in ("summary.csv", "gains.csv")])[:24]


def write(
    path: Path,
    reference: str,
    stamps: Mapping[Path, str],
    killed: Iterable[Path],
    sent: Mapping[str, Sent],
    results: str,
) -> None:
    """Remember that all these runs are in MLflow.

    Args:
        stamps: of all run folders, taken before they were read.
        killed: folders whose last attempt ended without a word: they change without a trace if it goes on.
        sent: by run key.
        results: `results_stamp`, taken before they were read.
    """
    content = {
        "made_by": _made_by(reference, results),
        "folders": {str(folder): each for folder, each in stamps.items()},
        "killed": sorted(map(str, killed)),
        "runs": {run_key: list(each) for run_key, each in sent.items()},
    }
    if files.known_json(path) != content:
        files.write_json(path, content)


def unchanged(path: Path, reference: str, folders: list[Path], results: str) -> dict[str, Sent] | None:
    """By run key what was sent of these folders, if nothing about them has changed since; else None."""
    known = files.known_json(path)
    if known.get("made_by") != _made_by(reference, results) or set(known.get("folders", ())) != set(map(str, folders)):
        return None
    if any(known["folders"][str(folder)] != stamp(folder, reference) for folder in folders):
        return None
    if any(locks.is_open(layout.journal(Path(folder))) is not False for folder in known["killed"]):
        return None
    return {run_key: Sent(*each) for run_key, each in known["runs"].items()}


def _made_by(reference: str, results: str) -> list[object]:
    """The reference, the comparison and the code: a record is made of these as well."""
    code = [each for name in CODE for each in _listing(PACKAGE / name)]
    return [reference, results, files.digest(code)[:24]]


def _listing(folder: Path) -> list[list[object]]:
    try:
        with os.scandir(folder) as entries:
            return sorted([entry.name, *_numbers(entry.stat())] for entry in entries)
    except OSError:  # no such folder, or a file that just goes
        return []


def _stat(path: Path) -> list[object]:
    try:
        return _numbers(path.stat())
    except OSError:
        return []


def _numbers(found: os.stat_result) -> list[object]:
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]
