"""Phase manifests: for every file that a phase made for an experiment, its sha256 and what made it.

    python -m vlkd_steps.graph.phase_manifest check manifests/scenes/prepare.json data/instances/scenes_vqa.parquet

`dvc.yaml` has two kinds of stages. A phase's stage runs Snakemake and its output is the manifest; the next phase's
stage depends on the manifest, not on shared folders, so another experiment in the same folders makes no stage outdated.
A second, short stage per data set, model or feature store versions the bytes. Both first check that the bytes match the
manifest and that the manifest matches the current configuration and code, so that DVC never records bytes that were
changed by hand or made by another configuration.
"""

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from vlkd_steps.config import composition, jobs, phases
from vlkd_steps.config.models.composition import Composition
from vlkd_steps.core import checksums, inside, layout, run_yaml, running, step
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.files import read_json, sha256, write_json
from vlkd_steps.core.terminal import say
from vlkd_steps.graph import dvc_vars

AGAIN = "run: snakemake --cores all"


@dataclass(frozen=True)
class Entry:
    """A file as its job left it; `made_by` is that of `phases.Job`."""

    sha256: str
    made_by: str


def config(experiment: str, phase: str, made: Sequence[phases.Job]) -> dict[str, Any]:
    """The configuration of the job that writes a phase's manifest: every file with its `made_by`."""
    return {
        "manifest": str(layout.phase_manifest(experiment, phase)),
        "files": {str(path): job.made_by for job in made for path in (*job.outputs, *job.beside)},
    }


def write(job: Mapping[str, Any]) -> None:
    """Write the phase manifest that `config` describes, atomically.

    Raises:
        UserError: a file is missing, or differs from the list of sha256 that its job wrote beside it.
    """
    made_by = {Path(name): value for name, value in job["files"].items()}
    for path in sorted(made_by):
        if not path.is_file():
            raise UserError(f"{path} is missing, although its job has ended; {AGAIN}")
    listings: dict[Path, list[Path]] = {}
    for listing in (path for path in made_by if path.suffix == ".sha256"):
        listings.setdefault(listing.parent, []).append(listing)
    for path in (path for path in made_by if path.suffix != ".sha256"):
        for listing in (each for folder in path.parents for each in listings.get(folder, ())):
            if made_by[path] == made_by[listing]:
                checksums.verified(path, listing)
    entries = {str(path): asdict(Entry(checksums.of(path), made_by[path])) for path in sorted(made_by)}
    write_json(Path(job["manifest"]), {"files": entries})


def read(path: Path) -> dict[Path, Entry]:
    """A phase manifest's entries by file; empty if it is missing, damaged or of an older version of this package."""
    try:
        return entries(path)
    except UserError:
        return {}


def entries(path: Path) -> dict[Path, Entry]:
    """As `read`, but raises UserError if it is missing, damaged or of an older version of this package."""
    content = read_json(path)
    try:
        return {Path(name): Entry(**entry) for name, entry in content["files"].items()}
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is no phase manifest; {AGAIN}") from error


def named_by(manifest: Path) -> dict[Path, str]:
    """The files that a source's or a feature store's manifest names, with their sha256; empty if it names none."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        content = json.loads(manifest.read_text(encoding="utf-8"))
        of_store = [*content.get("shards", []), *filter(None, [content.get("index")])]
        files = content.get("files") or {part["file"]: part["sha256"] for part in of_store}
        where = f"{manifest}: a file"
        return {inside.path(manifest.parent, name, where, links=True): value for name, value in files.items()}
    return {}


def check_configuration(c: Composition, phase: str) -> None:
    """Compare a phase's manifest, and the config.yaml of each run, with the composition.

    Raises:
        UserError: a file was made by another configuration or other code, or the phase manifest does not name it.
    """
    path = layout.phase_manifest(c.experiment, phase)
    entries = read(path)
    for job in phases.of_phase(c, phase):
        for file in (*job.outputs, *job.beside):
            if file not in entries:
                raise UserError(f"{path} does not name {file}, which this configuration makes; {AGAIN}")
            if entries[file].made_by != job.made_by:
                raise UserError(
                    f"{file} was made by another configuration or other code than params.yaml and this checkout have "
                    f"now (says {path}); {AGAIN}"
                )
    if phase == "distill":
        _check_runs(c)


def outdated(c: Composition) -> str:
    """Why results may not be those of the configuration and code as they are now; empty if they are."""
    try:
        for phase in phases.PHASES:
            check_configuration(c, phase)
    except UserError as mistake:
        return str(mistake)
    return ""


def note(c: Composition) -> str:
    """What to say beside results that may not be those of the configuration and code as they are now, else nothing."""
    why = outdated(c)
    return f"these values may be of an earlier run: {why}" if why else ""


def _check_runs(c: Composition) -> None:
    """Raise UserError unless every run's config.yaml has the content key that the composition gives it now."""
    from vlkd_steps.runs.run_dir import RunDir

    for cell in c.cells:
        job = jobs.distill(c, cell)
        for seed in job["seeds"]:
            run = RunDir.of(job, seed)
            path = layout.run_config(run.folder)
            try:
                content = run_yaml.parse(path.read_text(encoding="utf-8"))
            except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
                raise UserError(f"{path} cannot be read ({' '.join(str(error).split())}); {AGAIN}") from error
            if not isinstance(content, dict) or content.get("content_key") != run.key:
                raise UserError(
                    f"{path} does not match params.yaml, the data and the code as they are now: it describes a run of "
                    f"another configuration; {AGAIN}"
                )


def check_bytes(manifest: Path, roots: Sequence[Path]) -> int:
    """Compare the files at or below `roots` with the phase manifest and with the manifests found there.

    Returns:
        The number of files compared.

    Raises:
        UserError: a file is missing or differs, or the phase manifest names nothing below a root.
    """
    recorded = read(manifest)
    compared = 0
    for root in roots:
        below = {path: entry.sha256 for path, entry in recorded.items() if path.is_relative_to(root)}
        if not below:
            raise UserError(f"{manifest} names nothing below {root}; {AGAIN}")
        for inner in sorted(path for path in below if path.name == "manifest.json"):
            below |= named_by(inner)
        for path, expected in sorted(below.items()):
            compare(path, expected, manifest)
        compared += len(below)
    return compared


def check_files(manifest: Path) -> None:
    """Compare every file that a phase manifest names: raises UserError where one is missing or differs."""
    for path, entry in read(manifest).items():
        compare(path, entry.sha256, manifest)


def compare(path: Path, expected: str, manifest: Path) -> None:
    """Compare a file with its sha256: raises UserError where it is missing or differs."""
    if not path.is_file():
        raise UserError(f"{path} is missing, but {manifest} names it; restore it with `dvc checkout`, or {AGAIN}")
    if sha256(path) != expected:
        raise UserError(
            f"{path} was changed after it was made (sha256 differs from {manifest}); restore it with "
            f"`dvc checkout`, or delete it and {AGAIN}"
        )


def missing(manifest: Path) -> Iterator[Path]:
    """The missing files that a manifest names; lists folders, since a stat per file is slow on a network."""
    there = {Path(folder) / name for folder, _, names in os.walk(manifest.parent) for name in names}
    return (path for path in named_by(manifest) if path not in there)


def _composition(experiment: str) -> Composition:
    """The experiment's composition; in a stage of dvc.yaml it must be the experiment of params.yaml.

    Raises:
        UserError: in a stage, params.yaml or dvc_vars.yaml has changed since DVC read it.
    """
    c = composition.compose(experiment=experiment)
    if "DVC_STAGE" in os.environ:
        now = composition.read_params(Path("params.yaml")).experiment
        if now != experiment:
            raise UserError(f"params.yaml names {now} now, and DVC had read {experiment} before; repeat: dvc repro")
        dvc_vars.check_stage(c)
    return c


@step.entry
def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    checking = commands.add_parser("check", help="compare a phase manifest with the configuration, and files with it")
    checking.add_argument("manifest", type=Path, help="manifests/<experiment>/<phase>.json")
    checking.add_argument("roots", type=Path, nargs="*", help="the bytes at or below these are compared too")
    writing = commands.add_parser("write", help="what the graph calls: write a phase manifest")
    writing.add_argument("--config", required=True, help="a JSON object, or @FILE that holds one")
    writing.add_argument("--log", type=Path, help="write the log here as well as to stderr")
    arguments = parser.parse_args(argv)
    if arguments.command == "write":
        step.log_to(arguments.log)
        running.hold()
        write(step.parse_config(arguments.config))
        return 0
    if not arguments.manifest.is_file():
        raise UserError(f"{arguments.manifest} is missing; {AGAIN}")
    phase, experiment = arguments.manifest.stem, arguments.manifest.parent.name
    if phase not in phases.PHASES:
        raise UserError(f"{arguments.manifest} is no phase's manifest; the phases are {', '.join(phases.PHASES)}")
    check_configuration(_composition(experiment), phase)
    if arguments.roots:
        compared = check_bytes(arguments.manifest, arguments.roots)
        say(f"{compared} files are as {arguments.manifest} says", file=sys.stderr)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
