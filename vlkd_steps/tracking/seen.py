"""Remembers what was tracked last, so that `track` with nothing new reads no journal and does not import MLflow.

A file of this project on this machine, with a stamp of every run folder and the digest of every run that was
sent. It is only a cache: if a stamp differs, or MLflow has something else, everything is read again.
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from vlkd_steps.core import files, layout, locks

PACKAGE = Path(__file__).parents[1]
CODE = ("core", "reporting", "tracking")  # subpackages whose code makes records and their pages in MLflow


class Sent(NamedTuple):
    """Name and digest of a record that was sent."""

    name: str
    digest: str


def stamp(folder: Path, reference: str) -> str:
    """A text that changes whenever a file changes that the run's records or artifacts depend on.

    Those of the reference are among them, and whether its journal is open: its results count once it has ended. It
    covers size, both times and inode of each file: appending changes the size, replacing the inode, and a change in
    place the ctime, which no program can set back.
    """
    shot, variant = folder.parent, folder.parent.parent
    compared = variant.parent / reference / shot.name / folder.name
    single = (layout.journal(folder), layout.run_config(folder), layout.provenance(folder), layout.metrics(folder))
    dataset = variant.parents[1].name
    data = (layout.instances(dataset), layout.instances_checksums(dataset))
    over = (layout.journal(compared), layout.run_config(compared), layout.metrics(compared))
    found = [_stat(path) for path in (*single, *over, *data)]
    listed = (folder / "predictions", folder / "scores", compared / "predictions")
    found += [each for place in listed for each in _listing(place)]
    found.append([locks.is_open(layout.journal(compared))])
    return files.digest(found)[:24]


def results_stamp(experiment: str) -> str:
    """A text that changes whenever `compare` has written its tables."""
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
    """Record that all these runs are in MLflow.

    Args:
        stamps: of all run folders, taken before they were read.
        killed: folders whose last attempt has no end in the journal; if it resumes, no stamp changes.
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
    """Run key -> what was sent from these folders; None: something has changed."""
    known = files.known_json(path)
    if known.get("made_by") != _made_by(reference, results) or set(known.get("folders", ())) != set(map(str, folders)):
        return None
    if any(known["folders"][str(folder)] != stamp(folder, reference) for folder in folders):
        return None
    if any(locks.is_open(layout.journal(Path(folder))) is not False for folder in known["killed"]):
        return None
    return {run_key: Sent(*each) for run_key, each in known["runs"].items()}


def _made_by(reference: str, results: str) -> list[object]:
    """The reference, the comparison and the code, on which records depend as well."""
    code = [each for name in CODE for each in _listing(PACKAGE / name)]
    return [reference, results, files.digest(code)[:24]]


def _listing(folder: Path) -> list[list[object]]:
    try:
        with os.scandir(folder) as entries:
            return sorted([entry.name, *_numbers(entry.stat())] for entry in entries)
    except OSError:  # no such folder, or a file that was just deleted
        return []


def _stat(path: Path) -> list[object]:
    try:
        return _numbers(path.stat())
    except OSError:
        return []


def _numbers(found: os.stat_result) -> list[object]:
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]
