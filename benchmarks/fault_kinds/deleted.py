"""Outputs deleted by hand while their phase manifests stay, and `vlkd sync` on stale stages, with Snakemake and DVC.

A trial starts from a copy of the small project, run once by `vlkd run` and recorded in DVC and git. Either one to three
outputs, or the folder of one, are deleted: `vlkd doctor --deep` has to name every one of them that a remaining list or
manifest names, and `vlkd run` has to say that it makes them again. Or a phase is made stale, by another configuration
or by an output that is changed or deleted, in half of the trials with the state of a fresh clone (no records of
Snakemake, other times): `vlkd sync` has to refuse with one message that names the phase or the file, and must not call
anything stale current. Once the configuration is as before, or DVC has restored the files, it has to agree.
"""

import contextlib
import functools
import os
import random
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import yaml
from fault_kinds.outcomes import GOOD, Trial
from fault_kinds.small_project import EXPERIMENT, GRID, UNCOMPARED, different, kind, scenes

from vlkd_steps.config import phases
from vlkd_steps.core import files, layout
from vlkd_steps.graph import phase_manifest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "pipeline"))
from pipeline_project import Project, checkout, planned  # noqa: E402

FAULTS = ("outputs deleted by hand", "`vlkd sync` with a stale phase")
STALE = {
    "download": {f"sources.{EXPERIMENT}.seed": 3},
    "prepare": {"datasets.scenes_smoke_vqa.vocabulary.minimum": 2},
    "extract": {"teachers.clip_scenes.precision": "tf32"},
    "distill": {"variants.clip_td.lambda0": 3},
}
"""Overrides by the first phase that they make stale."""
ARTIFACTS = re.compile(r"(data/(raw|instances|splits)|features|runs|results)/")


@contextlib.contextmanager
def trials(scratch: Path, seed: int) -> Iterator[Callable[[int], Trial]]:
    """Run the small project once; yields what makes the trial of a number."""
    folder = scratch / "finished"
    folder.mkdir()
    project = checkout(ROOT, folder)
    params = {"experiment": EXPERIMENT, "grid": GRID, "overrides": scenes(seed=1)}
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    project.run("python", "-m", "vlkd_steps.graph.dvc_vars")
    project.commit("A small project")
    vlkd(project, "run")
    project.commit("Results")
    yield functools.partial(trial, project, contents(folder), seed)


def trial(finished: Project, expected: Mapping[str, str], seed: int, number: int) -> Trial:
    """Inject one fault, go on, and judge."""
    choice = random.Random(f"{seed} deleted {number}")
    found = Trial(number, FAULTS[number % len(FAULTS)])
    folder = finished.folder.parent / f"trial-{number}"
    project = finished.copy(folder / "project")
    try:
        judged = outputs_deleted if found.fault == FAULTS[0] else sync_refused
        found.outcome = judged(project, found, choice)
        if "Traceback" in "".join(found.notes):
            found.outcome = "traceback"
        elif found.outcome in GOOD and (differing := different(expected, contents(project.folder))):
            found.notes.append(f"differing: {', '.join(differing)}")
            found.outcome = "leftovers" if not set(differing) & set(expected) else "WRONG"
    finally:
        shutil.rmtree(folder)
    return found


def outputs_deleted(project: Project, found: Trial, choice: random.Random) -> str:
    named = artifacts(project.folder)
    if choice.random() < 0.3:
        some = choice.choice(named)
        gone = [name for name in named if Path(name).parent == Path(some).parent]
        shutil.rmtree((project.folder / some).parent)
        found.where = f"the folder {Path(some).parent}"
    else:
        kinds = choice.sample(sorted({kind(name) for name in named}), choice.randint(1, 3))
        gone = [choice.choice([name for name in named if kind(name) == each]) for each in kinds]
        for name in gone:
            (project.folder / name).unlink()
        found.where = ", ".join(gone)
    said = noted(found, vlkd(project, "doctor", "--deep", status=1))
    manifests = [name for name in gone if name.endswith("manifest.json")]  # whose remedy is that of all they name
    of_others = [name for name in gone if not any(Path(each).parent in Path(name).parents for each in manifests)]
    if not all(f"missing   {name}: " in said for name in [*manifests, *of_others]):
        return "unsaid"
    said = noted(found, vlkd(project, "run", status=None))
    made_again = re.findall(r"^note: made again: (.*)$", said, re.MULTILINE)
    if not any(name in note for name in gone for note in made_again):
        return "unsaid"
    after = noted(found, vlkd(project, "doctor", "--deep", status=None))
    return "same" if after.endswith(": 0 missing, 0 damaged, 0 outdated\n") else "WRONG"


def sync_refused(project: Project, found: Trial, choice: random.Random) -> str:
    how = choice.choice(["another configuration", "a changed file", "a deleted file"])
    params = project.folder / "params.yaml"
    before = params.read_text()
    if how == "another configuration":
        phase, overrides = choice.choice(sorted(STALE.items()))
        project.params(overrides={**yaml.safe_load(before)["overrides"], **overrides})
        found.where, words = f"{overrides}", (f"phase {phase}", f"{phase}.json", "params.yaml: overrides")
    else:
        name = choice.choice(artifacts(project.folder))
        path, words = project.folder / name, tuple(str(each) for each in (Path(name), *stores(name)))
        content = path.read_bytes()
        path.unlink()
        if how == "a changed file":
            path.write_bytes(content + b"\n")
        found.where = f"{how}: {name}"
    if choice.random() < 0.5:
        as_cloned(project.folder, choice)
        found.where += ", as in a fresh clone"
    said = noted(found, vlkd(project, "sync", status=None))
    messages = re.findall(r"^error: (.*)$", said, re.MULTILINE)
    if len(messages) != 1 or not any(word in messages[0] for word in words):
        return "unhelpful"
    if "nothing to do" in said or (how == "another configuration" and not planned(noted(found, dry_run(project)))):
        return "WRONG"
    if how == "another configuration":
        params.write_text(before)
    elif "dvc checkout" in messages[0] or "dvc pull" in messages[0]:
        noted(found, project.dvc("checkout", "--force"))
    else:
        return "unhelpful"
    agreed = noted(found, vlkd(project, "sync", status=None))
    left = planned(noted(found, dry_run(project)))
    return "message" if "nothing to do" in agreed and not left else "unhelpful"


def stores(name: str) -> list[Path]:
    """The folders that hold a file, up to that of its source, data set, teacher, or experiment."""
    return [each for each in Path(name).parents if len(each.parts) >= 2 + name.startswith("data/")]


def as_cloned(folder: Path, choice: random.Random) -> None:
    """Neither records of Snakemake nor the order of the files' times."""
    shutil.rmtree(folder / ".snakemake")
    for name in artifacts(folder):
        if (folder / name).exists():
            when = 1.7e9 + choice.randrange(10**6)
            os.utime(folder / name, (when, when))


def dry_run(project: Project) -> str:
    return project.snakemake("-n", status=None)


def vlkd(project: Project, *words: str, status: int | None = 0) -> str:
    return project.run(sys.executable, "-m", "vlkd_steps", *words, status=status)


def noted(found: Trial, said: str) -> str:
    found.notes.append(said)
    return said


def artifacts(folder: Path) -> list[str]:
    """Every file that a phase manifest, or a source's or a store's own manifest, names."""
    with contextlib.chdir(folder):
        named = {
            path for phase in phases.PHASES for path in phase_manifest.read(layout.phase_manifest(EXPERIMENT, phase))
        }
        inner = {path for each in named if each.name == "manifest.json" for path in phase_manifest.named_by(each)}
    return sorted(str(path) for path in named | inner)


def contents(folder: Path) -> dict[str, str]:
    """The sha256 by name of all artifacts and phase manifests; "" of files that are not compared."""
    there = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    chosen = sorted(name for name in there if ARTIFACTS.match(name) or name.startswith("manifests/"))
    return {name: "" if UNCOMPARED.search(name) else files.sha256(folder / name) for name in chosen}
