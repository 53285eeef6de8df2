"""The files that users provide, and what of them is missing.

Those of local sources, and those that a plugin's source says that it reads, are inputs of their download; others are
those that students and teachers name (`core.given_files`), and those of measures.
"""

import contextlib
import functools
from collections.abc import Mapping
from pathlib import Path

from vlkd_steps.config import extra_evals, jobs, weights
from vlkd_steps.config.models.composition import Cell, Composition
from vlkd_steps.config.models.teacher import Files, Teacher
from vlkd_steps.core import checksums, components, folders, given_files, layout, package_assets
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.files import digest
from vlkd_steps.sources import local

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png"}
MAX_IMAGES = 2000
SUFFIXES = (".pt", ".pth", ".bin", ".safetensors", ".txt")
"""Of files of weights and vocabularies; other names are those of a hub."""
FOLDER = "local-dir:"  # how open_clip and timm have a model's folder written


def incoming(c: Composition, source: str) -> list[str]:
    """The user's own files that a source reads: inputs of its download, so that an edit is noticed.

    Listing more than `MAX_IMAGES` images would make every parse slow; then `listing` replaces them.
    """
    others, images = _chosen(c, source)
    return jobs.inputs(others + (images if len(images) <= MAX_IMAGES else []))


def listing(c: Composition, source: str) -> str:
    """A hash over names, sizes and times of the user's files that a source reads.

    A file that kept its old modification time, or was edited while it was copied, is older than the copy, so by times
    alone Snakemake would consider the copy up to date.
    """
    others, images = _chosen(c, source)
    found = [(path, path.stat()) for path in others + images]
    return digest([[str(path), stat.st_size, stat.st_mtime_ns] for path, stat in found]) if found else ""


def copied(c: Composition, source: str) -> dict[Path, Path]:
    """The user's files that a local source copies, each with its copy, without those that it unpacks.

    Empty where the folder is missing, as in a clone: what was copied cannot be compared then.
    """
    if c.sources[source].kind != "local":
        return {}
    others, images = _chosen(c, source)
    conf = c.sources[source].written()
    root = Path(conf.get("path", ""))
    try:
        unpacked = {
            path for each in conf.get("unpack") or () for path in [root / each, *local.matching(conf, root, each)]
        }
    except UserError:  # the download says it
        return {}
    return {path: layout.raw(source) / path.relative_to(root) for path in others + images if path not in unpacked}


def of_cell(c: Composition, cell: Cell) -> str:
    """A hash of the files that the configuration of a cell's student names, for the cell's task, and of those that
    measures of its runs read."""
    extra = c.extra_evals.get(cell.dataset, {}).values()
    measured = [path for conf in extra for path in extra_evals.own_files(conf.written())]
    named = given_files.digest(jobs.student(c, cell.student, c.datasets[cell.dataset].task))
    try:
        return named + (digest({str(path): checksums.of(path) for path in measured}) if measured else "")
    except OSError as error:
        where = f"experiment {c.experiment}: extra_evals.{cell.dataset}"
        raise UserError(f"{where}: cannot read {error.filename}: {error.strerror}; make it readable") from error


def of_model(c: Composition, model: str) -> str:
    """A hash of the files that the configuration of a student or teacher names that is pre-trained."""
    return given_files.digest(c.learned(model).written())


def of_teacher(c: Composition, teacher: str, dataset: str) -> str:
    """As `of_model`, of a teacher for a data set. Of files of regions, which may have many gigabytes, the sizes."""
    conf = c.teachers[teacher]
    whole = conf.written() | conf.by_dataset.get(dataset, {})
    sizes = [size for name in _region_files(conf, dataset) for size in _sizes(Path(name))]
    folder = {"model": str(whole["model"]).removeprefix(FOLDER)} if "model" in whole else {}
    return given_files.digest(whole | folder) + (digest(sizes) if sizes else "")


@functools.cache
def _sizes(path: Path) -> list[tuple[str, int]]:
    """Name and size of the file, or of those below the folder, sorted; looked at once, as there may be 100,000."""
    found = folders.files_below(path) if path.is_dir() else [path]
    return sorted((each.as_posix(), each.stat().st_size) for each in found if each.is_file())


def _chosen(c: Composition, source: str) -> tuple[list[Path], list[Path]]:
    """The user's files that a source reads and that are there, without images, and its images."""
    kind, paths = c.sources[source].kind, []
    with contextlib.suppress(UserError, OSError):  # `missing` reports all of them at once, or the download says it
        if kind == "local":
            paths = local.chosen(c.sources[source].written())
        elif kind in components.brought("source"):
            named = getattr(components.load("source", kind), "inputs", lambda _: ())
            paths = [path for path in map(Path, named(c.sources[source].written())) if path.is_file()]
    images = [path for path in paths if path.suffix.lower() in IMAGE_SUFFIXES]
    return [path for path in paths if path not in set(images)], images


def missing(c: Composition) -> dict[str, dict[str, str]]:
    """The data that the user has to provide and that is missing, and what to do about it.

    Returns:
        By the rule that reads it first, what is missing: ``download`` by source, ``extract`` by teacher and data set,
        ``distill`` by student.
    """
    found: dict[str, dict[str, str]] = {"download": {}, "extract": {}, "distill": {}}
    for name in c.artifacts.source:
        if c.sources[name].kind == "local":
            try:
                local.chosen(c.sources[name].written())
            except UserError as error:
                found["download"][name] = str(error)
    for name in c.artifacts.teacher:
        for dataset in c.grid.dataset:
            made = weights.made(c.teachers[name])
            absent = [path for path in _absent(c.teachers[name], dataset) if path not in made]
            if absent and not layout.features_manifest(name, dataset).is_file():
                found["extract"][f"{name} {dataset}"] = (
                    f"{', '.join(absent)}: missing; put the files of {name} there, or set their path "
                    f"in conf/teacher/{name}.yaml"
                )
    of_grid = dict.fromkeys(c.datasets[dataset].task for dataset in c.grid.dataset)
    for name in c.grid.student:
        parts = [jobs.student(c, name, task) for task in of_grid]
        named = dict.fromkeys(str(part[key]) for key in ("weights", "vocabulary") for part in parts if part.get(key))
        if absent := [path for path in named if path.endswith(SUFFIXES) and not Path(path).is_file()]:
            found["distill"][name] = (
                f"{', '.join(absent)}: missing; put the files of {name} there, or set their path "
                f"in conf/student/{name}.yaml"
            )
    return found


def _absent(conf: Teacher, dataset: str) -> list[str]:
    """What a configuration names for a data set and does not exist: files of regions, weights, a model's folder."""
    whole = conf.written() | conf.by_dataset.get(dataset, {})
    file, model = str(whole.get("weights") or ""), str(whole.get("model") or "")
    named = _region_files(conf, dataset)
    in_package = whole.get("package") or package_assets.path(file)
    named += [file] if file.endswith(SUFFIXES) and not in_package else []
    named += [model.removeprefix(FOLDER)] if model.startswith(FOLDER) else []
    return [path for path in named if not Path(path).exists()]


def _region_files(conf: Teacher, dataset: str) -> list[str]:
    """The files of regions that a configuration names for a data set."""
    if not isinstance(conf, Files):
        return []
    whole = conf.written() | conf.by_dataset.get(dataset, {})
    parts = (whole, *(whole.get("parts") or ()))
    return [path for part in parts for path in part.get("files") or ()]


def missing_message(experiment: str, found: Mapping[str, Mapping[str, str]]) -> str:
    """All missing data in one message."""
    lines = "\n".join(f"  {text}" for of_rule in found.values() for _, text in sorted(of_rule.items()))
    return f"experiment {experiment} reads data that you have to provide, and that is missing:\n{lines}"
