"""The disk space that an experiment needs, and what has to be fetched or put in place first."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vlkd_steps.checks import versioning
from vlkd_steps.config import precedence, users_files
from vlkd_steps.config.models.base import Learned
from vlkd_steps.config.models.composition import Cell, Composition
from vlkd_steps.config.models.source import Http, Local, Scenes
from vlkd_steps.core import layout, package_assets
from vlkd_steps.core.errors import UserError
from vlkd_steps.graph.dry_run import Job
from vlkd_steps.planning import sizes, volumes
from vlkd_steps.sources import local

BYTES_OF_A_RUN = {"last": 4, "resumable": 20}
"""Bytes per parameter, by `keep`: the weights; also the last checkpoint with Adam's moments, and the best one."""
DTYPES = {"float16": 2, "float32": 4}
WORDS_OF_A_TEXT = 9  # a state is stored for each: choice, about the mean of the official data
GB = 1e9

Entry = dict[str, Any]


def sources(c: Composition, planned: Sequence[Job]) -> list[Entry]:
    """What `download` would fetch: kind, gigabytes (None: not known) and, for a user's own data, what is missing."""
    missing = users_files.missing(c)["download"]
    found = []
    for name in sorted({job.wildcards["source"] for job in planned if job.rule == "download"}):
        conf = c.sources[name]
        entry: Entry = {"source": name, "kind": conf.kind, "gb": conf.about_gb, "missing": missing.get(name)}
        entry["from"] = "not known" if entry["gb"] is None else "the source's conf"
        if isinstance(conf, Http):
            entry["hosts"] = sorted({item.url.split("/")[2] for item in conf.files})
        if isinstance(conf, Local) and not entry["missing"]:
            entry |= {"gb": _own(conf), "from": "counted here"}
        if isinstance(conf, Scenes):
            entry |= {"gb": 0.0, "from": "drawn, not fetched"}
        found.append(entry)
    return found


def put_in_place(c: Composition) -> list[str]:
    """What else is missing: files of regions, weights."""
    found = users_files.missing(c)
    return [*found["extract"].values(), *found["distill"].values()]


def weights(c: Composition) -> list[Entry]:
    """Weights that are fetched by name on first use: gigabytes, at 4 bytes per parameter at most."""
    found = []
    used: list[Learned] = [c.teachers[name] for name in c.artifacts.teacher]
    for model in [*used, *(c.students[name] for name in c.grid.student)]:
        conf = model.written()
        named = str(conf.get("weights") or (conf.get("model") if conf.get("kind") == "text" else None) or "")
        if (
            not named
            or package_assets.path(named)
            or Path(named).exists()
            or conf.get("pretrain")
            or conf.get("package")
        ):
            continue
        size = (sizes.teacher if model.name in c.teachers else sizes.student)(conf)
        gb = 4 * size.parameters / GB if size else None
        found.append({"model": conf["name"], "weights": named, "gb": gb, "from": "parameters, 4 bytes each"})
    return found


def folders(c: Composition, planned: Sequence[Job], runs_left: Mapping[Cell, int]) -> list[Entry]:
    """Gigabytes that will be added to raw, features and runs; None: not known.

    Args:
        runs_left: number of runs to train for each (dataset, student, variant, shot).
    """
    found: list[Entry] = []
    for job in planned:
        if job.rule == "download":
            conf = c.sources[job.wildcards["source"]]
            gb, source = conf.about_gb, "the source's conf"
            if isinstance(conf, Local) and (own := _own(conf)) is not None:
                gb, source = own if conf.transfer == "copy" else 0.0, f"counted here, transfer: {conf.transfer}"
            _add(found, str(layout.raw(conf.name)), gb, source)
        elif job.rule == "extract":
            gb, source = features(c, job.wildcards["teacher"], job.wildcards["dataset"])
            _add(found, str(layout.features(job.wildcards["teacher"], job.wildcards["dataset"])), gb, source)
    for cell, number in runs_left.items():
        size, keep = sizes.student(c.students[cell.student].written()), precedence.recipe(c, cell).keep
        each = BYTES_OF_A_RUN[keep]
        gb = number * each * size.parameters / GB if size else None
        source = f"{each} bytes per parameter and finished run (keep: {keep}), 16 more while it trains"
        _add(found, f"runs/{c.experiment}/{cell.dataset}/{cell.student}", gb, source)
    return found


def recorded(added: Sequence[Entry]) -> list[Entry]:
    """What DVC's cache adds to that when it records the results: as much again, where it cannot link files."""
    if not added or (cache := versioning.doubles(Path.cwd())) is None:
        return []
    known = [entry["gb"] for entry in added if entry["gb"] is not None]
    folder = cache.relative_to(Path.cwd()) if cache.is_relative_to(Path.cwd()) else cache
    why = "DVC's copy of all of these, which links avoid: dvc config cache.type reflink,hardlink,copy"
    return [{"folder": str(folder), "gb": sum(known) if known else None, "from": why}]


def features(c: Composition, teacher: str, dataset: str) -> tuple[float | None, str]:
    """Gigabytes of a feature store, and the source of that number."""
    conf, data = c.teachers[teacher], c.datasets[dataset]
    volume = volumes.of(data, c.sources[data.source])
    each = DTYPES[conf.dtype]
    if volume is None:
        return None, "not known"
    images = volume.shown(conf)
    if conf.kind.startswith("regions"):
        numbers = 7 + (getattr(conf, "dim", 0) or 3 * (getattr(conf, "pool", 0) or 0) ** 2 or 2048)
        how = f"{sizes.REGIONS} regions of {numbers} numbers, at most {images:,} images ({volume.source})"
        return each * images * sizes.REGIONS * numbers / GB, how
    size = sizes.teacher(conf.written())
    if size is None:
        return None, "not known"
    of_an_image = size.width + size.grid if size.image else 0
    of_a_text = size.width + WORDS_OF_A_TEXT * size.text_width if size.text else 0
    numbers = images * of_an_image + volume.texts * of_a_text
    return each * numbers / GB, f"at most {images:,} images, {volume.texts:,} texts ({volume.source})"


def free(path: Path = Path()) -> float:
    """Gigabytes free on the disk of a folder."""
    import shutil

    return shutil.disk_usage(path).free / GB


def _add(entries: list[Entry], folder: str, gb: float | None, source: str) -> None:
    entry = next((entry for entry in entries if entry["folder"] == folder), None)
    if entry is None:
        entries.append({"folder": folder, "gb": gb, "from": source if gb is not None else "not known"})
    else:
        entry["gb"] = None if entry["gb"] is None or gb is None else entry["gb"] + gb


def _own(conf: Local) -> float | None:
    """Gigabytes of the user's files that a source takes; None where they are not there, as `sources` says."""
    try:
        return sum(path.stat().st_size for path in local.chosen(conf.written())) / GB
    except UserError:
        return None
