"""Whether every artifact of a project still has the bytes that it was made with: vlkd doctor --deep

Each file is compared with every record of it: the lists of sha256 beside instances, models, targets and runs, the
manifests of raw folders, splits and feature stores, and the phase manifests of every experiment. A file that was
deleted by hand is noticed too, since a list or manifest still names it. Nothing is changed.
"""

import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from vlkd_steps.core import artifacts, checksums, experiment_option, files, inside, layout
from vlkd_steps.core.errors import UserError
from vlkd_steps.graph import phase_manifest
from vlkd_steps.tracking import journal

LISTED = ("data/instances", "models", "targets", "runs", "results")
"""The folders in which a step's list of sha256 may lie, anywhere below."""
KINDS = ("missing", "damaged", "outdated")
"""Outdated: as its step left it, but made again after the phase manifest was written."""


@dataclass(frozen=True, order=True)
class Problem:
    """What is wrong with one file (`KINDS`), and the target that Snakemake has to make to repair it."""

    target: Path
    path: Path
    kind: str
    why: str


@dataclass(frozen=True)
class Verdict:
    """What was compared, in `seconds`; `commands` has the command for each target of the problems."""

    problems: Sequence[Problem]
    files: int
    bytes: int
    seconds: float
    commands: dict[Path, str]

    def text(self) -> str:
        """The problems, those with one remedy together, and the counts."""
        lines = []
        for target in sorted(self.commands):
            lines += [f"{each.kind:<8}  {each.path}: {each.why}" for each in self.problems if each.target == target]
            lines.append(f"          make it again: {self.commands[target]}")
        if self.problems:
            lines.append("Then make what depends on it: vlkd run. Or restore files from DVC's cache: dvc checkout")
        counts = Counter(problem.kind for problem in self.problems)
        summed = ", ".join(f"{counts[kind]} {kind}" for kind in KINDS)
        lines.append(f"{self.files} files ({self.bytes / 1e6:.1f} MB) compared in {self.seconds:.1f} s: {summed}")
        return "\n".join(lines)


def verify(experiment: str) -> Verdict:
    """Compare every file of the project in the current folder.

    Args:
        experiment: the one in params.yaml, which commands run by default.

    Raises:
        UserError: the project has no artifacts yet.
    """
    started = time.monotonic()
    said, problems = _said()
    if not said and not problems:
        raise UserError(f"nothing in {Path.cwd()} names an artifact, so nothing was made here yet; run: vlkd run")
    paths = sorted({path for entries in said.values() for path in entries})
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        found = dict(zip(paths, pool.map(_sha256, paths), strict=True))
    recorded = _recorded(said, found)
    unreadable = {problem.path for problem in problems}
    for path, sources in recorded.items():
        if path not in unreadable and (problem := _judge(path, found[path], sources)) is not None:
            problems.append(problem)
    for split in sorted(Path("data/splits").glob("*/*.parquet")):
        problems += _of_split(split, known={problem.path for problem in problems})
    for path in sorted(Path("runs").glob("*/*/*/*/*/s*/journal.jsonl")):
        if damaged := journal.damaged(path):
            why = f"{damaged} of its lines cannot be read; its results stand, but its curves lack them"
            problems.append(Problem(_target(path), path, "damaged", why))
    commands = {problem.target: _command(problem, recorded, experiment) for problem in sorted(problems)}
    there = [path for path in recorded if path.is_file()]
    size = sum(path.stat().st_size for path in there)
    return Verdict(sorted(problems), len(there), size, time.monotonic() - started, commands)


Found = dict[Path, str | OSError]
"""The sha256 of each file."""
Recorded = dict[Path, dict[Path, str]]
"""For each file the lists and manifests that name it, with the sha256 that they have for it."""


def _said() -> tuple[Recorded, list[Problem]]:
    """The files that each list and manifest names, and a problem for each list or manifest that cannot be read."""
    said, problems = {}, []
    for source in _sources():
        try:
            said[source] = _entries(source)
        except UserError as mistake:
            problems.append(Problem(_target(source), source, "damaged", str(mistake)))
    return said, problems


def _recorded(said: Recorded, found: Found) -> Recorded:
    """The sha256 that each list and manifest has for each file.

    A list that agrees with all its files is intact, even if a phase manifest has another sha256 for it. A list that
    agrees neither with its files nor with its phase manifest is itself damaged, and its entries are ignored.
    """
    recorded: Recorded = {path: {} for path in found}
    for source, entries in said.items():
        agrees = all(found[path] == sha256 for path, sha256 in entries.items())
        of_itself = {others[source] for others in said.values() if source in others}
        if agrees and of_itself:
            recorded[source][source] = str(found[source])
        if agrees or not of_itself or found[source] in of_itself:
            for path, sha256 in entries.items():
                recorded[path][source] = sha256
    return recorded


def _sources() -> Iterator[Path]:
    for folder in LISTED:
        yield from sorted(path for path in Path(folder).rglob("*.sha256") if not path.name.startswith(".tmp-"))
    yield from sorted(
        path for pattern in ("data/raw/*", "features/*/*") for path in Path().glob(f"{pattern}/manifest.json")
    )
    yield from sorted(Path("manifests").glob("*/*.json"))


def _entries(source: Path) -> dict[Path, str]:
    """The sha256 of each file that a list or manifest names.

    Raises:
        UserError: it cannot be read.
    """
    if source.suffix == ".sha256":
        return checksums.read(source, "see below")
    files.read_json(source, "see below")
    if source.parts[0] == "manifests":
        return {path: entry.sha256 for path, entry in phase_manifest.entries(source).items()}
    if not (named := phase_manifest.named_by(source)):
        raise UserError("it names no files")
    key = files.known_json(source).get("key")
    if source.parts[0] == "features" and key:  # the copy that is kept beside the shards
        named[source.parent / inside.name(key)[:16] / source.name] = checksums.of(source)
    return named


def _sha256(path: Path) -> str | OSError:
    try:
        return checksums.of(path)
    except OSError as error:
        return error


def _judge(path: Path, found: str | OSError, sources: dict[Path, str]) -> Problem | None:
    """A file's problem, if any; a phase manifest may be older than the output of a step or of another experiment."""
    differing = [source for source, sha256 in sources.items() if sha256 != found]
    if not differing:
        return None
    if isinstance(found, FileNotFoundError):
        return Problem(_target(path), path, "missing", f"named by {differing[0]}")
    if isinstance(found, OSError):
        return Problem(_target(path), path, "damaged", f"cannot be read ({found.strerror})")
    if len(sources) > len(differing) and all(source.parts[0] == "manifests" for source in differing):
        return Problem(differing[0], path, "outdated", f"made again after {differing[0]} was written")
    return Problem(_target(path), path, "damaged", f"its sha256 differs from that in {differing[0]}")


def _of_split(split: Path, known: set[Path]) -> Iterator[Problem]:
    """A problem for a split whose ids do not match its own manifest."""
    if not known & {split, layout.split_manifest(split)}:
        try:
            artifacts.split_ids(split)
        except UserError as mistake:
            yield Problem(split, split, "damaged", str(mistake).partition(";")[0].removeprefix(f"{split} "))


def _target(path: Path) -> Path:
    """The declared output that has to be made to repair a file."""
    top, *rest = path.parts
    if path.parts[:2] == ("data", "raw"):
        return layout.raw_manifest(rest[1])
    if path.parts[:2] == ("data", "instances"):
        return layout.instances(path.name.partition(".")[0])
    if path.parts[:2] == ("data", "splits"):
        return path.with_suffix(".parquet")
    if top == "features":
        return layout.features_manifest(rest[0], rest[1])
    if top == "targets":
        return path.with_suffix(".parquet")
    if top == "models":
        return layout.model_weights(rest[0])
    if top == "runs":
        folder = Path(*path.parts[:7])
        scored = path.parent.name == "scores" or path.name in ("metrics.json", "evaluate.sha256")
        return layout.metrics(folder) if scored else layout.run_config(folder)
    return path


def _command(problem: Problem, recorded: Recorded, experiment: str) -> str:
    """Snakemake's command for a problem's target, in an experiment that has it."""
    named = [source.parts[1] for source in recorded.get(problem.path, {}) if source.parts[0] == "manifests"]
    if problem.target.parts[0] in ("runs", "results", "manifests"):
        named = [problem.target.parts[1]]
    own = experiment if not named or experiment in named else named[0]
    if problem.kind == "outdated":
        return "vlkd run" + ("" if own == experiment else f" {own}")
    named_too = "" if own == experiment else f" {experiment_option.typed(own)}"
    return f"snakemake --cores 1 -f {problem.target}{named_too}"
