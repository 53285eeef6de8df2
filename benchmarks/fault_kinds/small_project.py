"""The small project, made without faults: a copy of it before each of its jobs, each job in a process of its own."""

import importlib
import itertools
import os
import re
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from vlkd_steps.config import composition, jobs, phases
from vlkd_steps.core import files, layout
from vlkd_steps.graph import phase_manifest
from vlkd_steps.tracking.journal import Journal

EXPERIMENT = "scenes_smoke"
SCENES = {"train": 60, "dev": 8, "test": 12, "unseen_pairs": 8, "other_style": 8, "pretrain": 4}
GRID = {
    "dataset": ["scenes_smoke_vqa"],
    "student": ["vilt_scenes"],
    "variant": ["finetune", "clip_td"],
    "shot": [40],
    "seed": [1],
}
STEPS = {"distill": ("distill", "evaluate"), "compare": ("compare", "report")}
"""The steps of a phase that has more than one, in turn."""
IMPORTED = (
    "transformers.models.vilt.modeling_vilt",
    "vlkd_steps.reporting.experiment",
    "vlkd_steps.runs.classify",
    "vlkd_steps.runs.seeds",
    *(f"vlkd_steps.steps.{name}" for name in phases.PHASES if name not in STEPS),
    *(f"vlkd_steps.steps.{name}" for names in STEPS.values() for name in names),
    "vlkd_steps.students.vilt",
    "vlkd_steps.tasks.vqa",
    "vlkd_steps.teachers.features.extraction",
    "vlkd_steps.teachers.models.clip",
)
TIMED = re.compile(
    r"journal\.jsonl|provenance\.json|timings\.csv|report\.(html|sha256)|lock|logs/.*|manifests/.*/compare\.json"
)
"""Files that hold times, or hashes of such files, are not compared."""
UNCOMPARED = re.compile(rf"{TIMED.pattern}|checkpoints/.*|features/.*-[0-9a-f]{{16}}\.json")
"""Nor what only a step that goes on reads: checkpoints, and the marks of finished shards."""
LIMIT = 120
"""Seconds after which a step hangs."""


@dataclass(frozen=True)
class Job:
    """One job of the graph: its step's module and arguments, and the files that its rule declares."""

    name: str
    module: str
    arguments: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class Undisturbed:
    """The project without faults: a copy of it before each job (and after the last), in `folder`."""

    folder: Path
    jobs: Sequence[Job]
    writes: Sequence[int]  # of each job
    other: Path  # the same project of other scenes

    def before(self, number: int) -> Path:
        return self.folder / str(number)


def imported() -> None:
    """What the steps import, so that forked ones start at once."""
    for name in IMPORTED:
        importlib.import_module(name)


def make(scratch: Path, *, other: bool = True) -> Undisturbed:
    """Run the graph, and keep the project before each job; `other`: run it a second time, with other scenes."""
    imported()
    kept = {}
    for name, seed in (("own", 1), ("other", 2))[: 1 + other]:
        project = scratch / name / "0"
        project.mkdir(parents=True)
        params = {"experiment": EXPERIMENT, "grid": GRID, "overrides": scenes(seed)}
        (project / "params.yaml").write_text(yaml.safe_dump(params))
        os.chdir(project)
        graph, writes = graph_of(composition.compose()), []
        for number, job in enumerate(graph):
            after = scratch / name / str(number + 1)
            shutil.copytree(scratch / name / str(number), after)
            status, text, count = run(after, job)
            if status:
                raise SystemExit(f"{job.name} ended with status {status} without any fault:\n{text}")
            writes.append(count)
        kept[name] = graph, writes
    own, writes = kept["own"]
    print(f"{len(own)} jobs, {sum(writes)} writes", flush=True)
    return Undisturbed(scratch / "own", own, writes, scratch / "other" / str(len(own)))


def scenes(seed: int) -> dict[str, int]:
    """The overrides that make few scenes."""
    return {f"sources.{EXPERIMENT}.{key}": value for key, value in {**SCENES, "seed": seed}.items()}


def graph_of(c: composition.Composition) -> list[Job]:
    """The graph's jobs, in an order in which they can run; phase manifests included."""
    found = []
    for phase in phases.PHASES:
        of_phase = phases.of_phase(c, phase)
        for each, step in zip(of_phase, itertools.cycle(STEPS.get(phase, (phase,))), strict=False):
            module = f"vlkd_steps.steps.{step}"
            found.append(Job(step, module, ("--config", each.config), tuple(map(str, each.outputs))))
        written = jobs.argument(phase_manifest.config(c.experiment, phase, of_phase))
        manifest = (str(layout.phase_manifest(c.experiment, phase)),)
        found.append(
            Job(f"manifest_{phase}", "vlkd_steps.graph.phase_manifest", ("write", "--config", written), manifest)
        )
    return found


AtWrite = Callable[[int, Any], None]  # is given the number of a write and what is written to


def run(project: Path, job: Job, at_write: AtWrite | None = None) -> tuple[int, str, int]:
    """Run a job as Snakemake does; its status (128 + the signal that ended it), what it printed, how often it wrote."""

    def step() -> int:
        for output in job.outputs:
            Path(output).unlink(missing_ok=True)
        watch(at_write)
        sys.argv = [job.module, *job.arguments]
        status: int = importlib.import_module(job.module).main(list(job.arguments))
        return status

    status, text = forked(project, step)
    count = project / "writes.txt"
    writes = len(count.read_bytes()) if count.exists() else 0
    count.unlink(missing_ok=True)
    return status, text, writes


def forked(project: Path, function: Callable[[], int]) -> tuple[int, str]:
    """Call a function in a forked process within `project`; its status and what it printed."""
    with tempfile.TemporaryFile("w+") as output:
        child = os.fork()
        if not child:
            status = 1
            try:
                os.dup2(output.fileno(), 1)
                os.dup2(output.fileno(), 2)
                os.chdir(project)
                status = function()
            except SystemExit as end:
                status = int(end.code or 0)
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(status)
        until = time.monotonic() + LIMIT
        while not (ended := os.waitpid(child, os.WNOHANG))[0]:
            if time.monotonic() > until:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                raise TimeoutError
            time.sleep(0.01)
        output.seek(0)
        text = output.read()
    code = os.waitstatus_to_exitcode(ended[1])
    return (128 - code if code < 0 else code), text


def watch(at_write: AtWrite | None) -> None:
    """Count every write of this process in ``writes.txt``, and call `at_write` before it."""
    count = os.open("writes.txt", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    own, number = os.getpid(), itertools.count()

    def wrapped(function: Callable[..., Any]) -> Callable[..., Any]:
        def write(*arguments: Any, **more: Any) -> Any:
            if os.getpid() != own:
                return function(*arguments, **more)
            os.write(count, b".")
            if at_write:
                at_write(next(number), arguments[0])
            return function(*arguments, **more)

        return write

    for holder, name in ((os, "replace"), (os, "rename"), (os, "fsync"), (Journal, "append")):
        setattr(holder, name, wrapped(getattr(holder, name)))


def kind(name: str) -> str:
    """What a file is: equally likely to be damaged, whatever number of such files there is."""
    return re.sub(r"[0-9a-f]{16}|\d+|train|dev|test|unseen_pairs|other_style", "*", name)


def names(project: Path) -> set[str]:
    return {path.relative_to(project).as_posix() for path in project.rglob("*") if path.is_file()}


def contents(project: Path) -> dict[str, str]:
    """The sha256 of every file by name; "" of files that are not compared."""
    return {name: "" if UNCOMPARED.search(name) else files.sha256(project / name) for name in sorted(names(project))}


def different(expected: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    differing = (name for name in {*expected, *found} if expected.get(name) != found.get(name))
    return sorted(name for name in differing if name in found or not UNCOMPARED.search(name))
