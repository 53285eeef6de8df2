"""Injects faults into a small project and says what came of each: equal bytes, a message, or something wrong.

    PYTHONPATH=. python benchmarks/faults.py [--trials 200] [--seed 1] [--workers 2] [--only TRIAL ...]

The project is scenes_smoke with few scenes, one data set and two variants, made once without faults. A trial continues
a copy of it as it was before, or after, a step. Either the step is struck at one of its writes (a rename, a flush to
the disk, a line of the journal): by kill -9, by TERM, or by a full disk. Or a file that some step has left is damaged,
its modification time kept; half of these trials kill the step first and damage what it has left by then. Then the same
command is run again, and the rest of the graph. What a step's message, or `vlkd doctor --deep` at the end, says is to
be done about a file is done, and nothing else.

Steps are run as Snakemake runs them (a job's declared outputs are deleted before it), in processes forked from one that
has imported what they need. In the end all files are compared with those of the undisturbed project, but for what holds
times: journals, provenance, logs, timings, the page. A trial ends early where every file is as it was at that point of
the undisturbed project. The outcomes:

same         equal bytes, without anybody doing anything
message      a step ended with status 2 and one message that names the file; equal bytes after its remedy
doctor       no step reads the file again; `vlkd doctor --deep` names it; equal bytes after its remedy

and what must not be: WRONG bytes, a traceback, a message that does not name the file or whose remedy does not help,
files left over, a run whose journal has no end, a step that hangs.
"""

import argparse
import collections
import errno
import functools
import importlib
import itertools
import json
import multiprocessing
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from vlkd_steps.config import composition, jobs, phases
from vlkd_steps.core import files, layout, leftovers
from vlkd_steps.graph import integrity, phase_manifest
from vlkd_steps.tracking import journal
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
STRIKES = ("kill -9 at a write", "TERM at a write", "a write fails (no space)")
DAMAGES = ("a flipped bit", "a cut file", "an emptied file", "a deleted file", "a file of other data")
FAULTS = (*STRIKES, *DAMAGES)
GOOD = ("same", "message", "doctor")
BAD = ("WRONG", "traceback", "unhelpful", "leftovers", "not ended", "hangs")
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


@dataclass
class Trial:
    """What was done, and what came of it."""

    number: int
    fault: str
    where: str = ""
    outcome: str = ""
    restored: bool = False  # every file is as it was without the fault, so what follows is too
    notes: list[str] = field(default_factory=list)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", type=int, nargs="+", help="numbers of trials, to see what they do")
    arguments = parser.parse_args(argv)
    for name in IMPORTED:
        importlib.import_module(name)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="faults-") as scratch:
        undisturbed = make(Path(scratch))
        print(f"{len(undisturbed.jobs)} jobs, {sum(undisturbed.writes)} writes, {time.monotonic() - started:.0f} s")
        numbers = arguments.only or range(arguments.trials)
        one = functools.partial(trial, undisturbed, arguments.seed)
        fork = multiprocessing.get_context("fork")
        with ProcessPoolExecutor(arguments.workers, mp_context=fork) as pool:
            trials = [shown(each) for each in pool.map(one, numbers)]
    print(f"\n{table(trials)}\n\n{len(trials)} trials, seed {arguments.seed}, {time.monotonic() - started:.0f} s")
    wrong = [each for each in trials if each.outcome not in GOOD]
    for each in wrong:
        print(f"{each.outcome}: trial {each.number}: --seed {arguments.seed} --only {each.number}")
    return 1 if wrong else 0


def shown(found: Trial) -> Trial:
    print(f"{found.number:4} {found.outcome:<10} {found.fault}: {found.where}", flush=True)
    if found.outcome in BAD or "--only" in sys.argv:
        for note in found.notes:
            print("      " + note.strip().replace("\n", "\n      "), flush=True)
    return found


def table(trials: Sequence[Trial]) -> str:
    """Fault x outcome, in Markdown; what must not be has a column only where it was seen."""
    seen = collections.Counter((each.fault, each.outcome) for each in trials)
    columns = [*GOOD, *(name for name in BAD if any(each.outcome == name for each in trials))]
    lines = [f"| fault | trials | {' | '.join(columns)} |", "|---" * (len(columns) + 2) + "|"]
    for fault in FAULTS:
        counts = [seen[fault, name] for name in columns]
        lines.append(f"| {fault} | {sum(counts)} | {' | '.join(map(str, counts))} |")
    sums = [sum(seen[fault, name] for fault in FAULTS) for name in columns]
    lines.append(f"| all | {len(trials)} | {' | '.join(map(str, sums))} |")
    return "\n".join(lines)


# ---- the undisturbed project -------------------------------------------------


def make(scratch: Path) -> Undisturbed:
    """Run the graph twice, with other scenes the second time, and keep the project before each job."""
    kept = {}
    for name, seed in (("own", 1), ("other", 2)):
        project = scratch / name / "0"
        project.mkdir(parents=True)
        overrides = {f"sources.{EXPERIMENT}.{key}": value for key, value in {**SCENES, "seed": seed}.items()}
        params = {"experiment": EXPERIMENT, "grid": GRID, "overrides": overrides}
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
    return Undisturbed(scratch / "own", own, writes, scratch / "other" / str(len(own)))


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


# ---- one step, in a process of its own ---------------------------------------

Strike = tuple[str, int]  # what happens, at which write


def run(project: Path, job: Job, strike: Strike | None = None) -> tuple[int, str, int]:
    """Run a job as Snakemake does; its status (128 + the signal that ended it), what it printed, how often it wrote."""

    def step() -> int:
        for output in job.outputs:
            Path(output).unlink(missing_ok=True)
        watch(strike)
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


def watch(strike: Strike | None) -> None:
    """Count every write of this process in ``writes.txt``, and have `strike` happen at one of them."""
    count = os.open("writes.txt", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    own, number = os.getpid(), itertools.count()

    def wrapped(function: Callable[..., Any]) -> Callable[..., Any]:
        def write(*arguments: Any, **more: Any) -> Any:
            if os.getpid() != own:
                return function(*arguments, **more)
            os.write(count, b".")
            if strike and next(number) == strike[1]:
                happen(strike[0], arguments[0])
            return function(*arguments, **more)

        return write

    for holder, name in ((os, "replace"), (os, "rename"), (os, "fsync"), (Journal, "append")):
        setattr(holder, name, wrapped(getattr(holder, name)))


def happen(fault: str, written: Any) -> None:
    if fault == STRIKES[2]:
        name = getattr(written, "path", None) or getattr(written, "name", None) or written
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(name))
    if fault == STRIKES[0]:
        if isinstance(written, Journal):  # in the middle of a line
            with written.path.open("ab") as stream:
                stream.write(b'{"event":"metrics","time":17')
        os.kill(os.getpid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGTERM)


# ---- a trial -----------------------------------------------------------------


def trial(undisturbed: Undisturbed, seed: int, number: int) -> Trial:
    """Inject one fault, go on, and judge."""
    choice = random.Random(f"{seed} {number}")
    found = Trial(number, FAULTS[number % len(FAULTS)])
    with tempfile.TemporaryDirectory(dir=undisturbed.folder.parent, prefix="trial-") as folder:
        project = Path(folder) / "project"
        try:
            start, damaged = inject(undisturbed, project, found, choice)
            found.outcome = judged(undisturbed, project, found, start, damaged)
        except TimeoutError:
            found.outcome = "hangs"
    return found


def inject(undisturbed: Undisturbed, project: Path, found: Trial, choice: random.Random) -> tuple[int, str | None]:
    """Put a project with a fault at `project`; the job to go on with, and the damaged file."""
    graph = undisturbed.jobs
    # Every step is equally likely, whatever number of jobs it has.
    step = choice.choice(sorted({job.name.partition("_")[0] for job in graph}))
    start = choice.choice([n for n, job in enumerate(graph) if job.name.partition("_")[0] == step])
    job = graph[start]
    striking = found.fault in STRIKES
    interrupted = striking or (start > 0 and choice.random() < 0.5)  # a killed download leaves nothing
    shutil.copytree(undisturbed.before(start if interrupted else start + 1), project)
    before = names(project)
    found.where = f"{'at' if interrupted else 'after'} {job.name} (job {start})"
    if interrupted:
        strike = (found.fault if striking else STRIKES[0], choice.randrange(undisturbed.writes[start]))
        found.where += f", write {strike[1]} of {undisturbed.writes[start]}"
        status, text, _ = run(project, job, strike)
        found.notes.append(f"struck, {job.name} ends with status {status}\n{text}")
        if found.fault == STRIKES[2] and ("Traceback" in text or status == 0):
            found.outcome = "traceback" if status else "WRONG"
    if striking:
        return start, None
    files_there = sorted(name for name in names(project) if not TIMED.search(name) and not hidden(name))
    fresh = [name for name in files_there if name not in before and name not in job.outputs] if interrupted else []
    by_kind = collections.defaultdict(list)
    for name in fresh or files_there:
        by_kind[kind(name)].append(name)
    chosen = choice.choice(by_kind[choice.choice(sorted(by_kind))])
    damage(project / chosen, found.fault, undisturbed.other, chosen, choice)
    found.where += f": {chosen}"
    again = interrupted or choice.random() < 0.3
    return (start if again else start + 1), chosen


def kind(name: str) -> str:
    """What a file is: equally likely to be damaged, whatever number of such files there is."""
    return re.sub(r"[0-9a-f]{16}|\d+|train|dev|test|unseen_pairs|other_style", "*", name)


def hidden(name: str) -> bool:
    """Temporary files of a killed process, and the project's own configuration, are no artifacts."""
    return "/." in name or name.startswith(".") or name == "params.yaml"


def damage(path: Path, fault: str, other: Path, name: str, choice: random.Random) -> None:
    stat, content = path.stat(), path.read_bytes()
    if fault == "a deleted file":
        path.unlink()
        return
    if fault == "a flipped bit" and content:
        place = choice.randrange(len(content))
        content = content[:place] + bytes([content[place] ^ (1 << choice.randrange(8))]) + content[place + 1 :]
    elif fault == "a cut file":
        content = content[: choice.randrange(max(1, len(content)))]
    elif fault == "an emptied file":
        content = b""
    elif fault == "a file of other data":
        there = sorted(each for each in names(other) if kind(each) == kind(name))
        content = (other / (name if name in there else choice.choice(there))).read_bytes() if there else b""
    if content == path.read_bytes():  # it was empty, or both projects have the same
        content += b"\n"
    path.write_bytes(content)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def judged(undisturbed: Undisturbed, project: Path, found: Trial, start: int, damaged: str | None) -> str:
    """Go on from job `start`; the outcome."""
    if found.outcome:
        return found.outcome
    outcome = "same"
    bad = go_on(undisturbed, project, found, start, damaged)
    if bad in BAD:
        return bad
    outcome = bad or outcome
    if found.restored:
        return outcome
    missing = [number for number, job in enumerate(undisturbed.jobs) if not made(project, job)]
    if missing:  # what Snakemake makes by itself
        bad = go_on(undisturbed, project, found, missing[0], damaged)
        if bad in BAD:
            return bad
        outcome = bad or outcome
        if found.restored:
            return outcome
    expected = contents(undisturbed.before(len(undisturbed.jobs)))
    differing = different(expected, contents(project))
    if differing and set(differing) <= {damaged, *manifests()}:
        found.notes.append(f"unread and damaged: {', '.join(differing)}")
        targets = diagnosed(project, found)
        if not targets:
            return "WRONG"
        first = min(producer(undisturbed.jobs, each) for each in targets)
        bad = go_on(undisturbed, project, found, first, damaged)
        if bad in BAD or found.restored:
            return bad if bad in BAD else "doctor"
        outcome, differing = "doctor", different(expected, contents(project))
    if differing:
        found.notes.append(f"differing: {', '.join(differing)}")
        surplus = all(name not in expected for name in differing)
        return "leftovers" if surplus else "WRONG"
    for folder in sorted(project.glob("runs/*/*/*/*/*/s*")):
        key = journal.owner(folder)
        if key is None or not journal.ended(layout.journal(folder), key):
            found.notes.append(f"{folder.relative_to(project)} has not ended")
            return "not ended"
    return outcome


def alike(undisturbed: Path, project: Path) -> bool:
    """Whether all files are the same, in name and bytes; of those with times only the journals are compared."""
    if different(contents(undisturbed), contents(project)):
        return False
    journals = (path.relative_to(project) for path in project.glob("runs/*/*/*/*/*/s*/journal.jsonl"))
    return all((undisturbed / path).read_bytes() == (project / path).read_bytes() for path in journals)


def made(project: Path, job: Job) -> bool:
    return all((project / output).is_file() for output in job.outputs)


def manifests() -> list[str]:
    return [str(layout.phase_manifest(EXPERIMENT, phase)) for phase in phases.PHASES]


def go_on(undisturbed: Undisturbed, project: Path, found: Trial, start: int, damaged: str | None) -> str | None:
    """Run the jobs from `start` on, with the remedies that messages name; "message", or one of `BAD`.

    It ends early where the project has become the undisturbed one, its journals included.
    """
    graph, outcome, number, remedies = undisturbed.jobs, None, start, 0
    os.chdir(project)
    for folder in layout.written(EXPERIMENT):  # what starting snakemake does
        leftovers.remove(folder)
    while number < len(graph):
        status, text, _ = run(project, graph[number])
        if not status:
            number += 1
            if alike(undisturbed.before(number), project):
                found.restored = True
                return outcome
            continue
        found.notes.append(f"{graph[number].name} ends with status {status}\n{text}")
        messages = re.findall(r"^error: (.*)$", text, re.MULTILINE)
        if "Traceback" in text:
            return "traceback"
        named = damaged is not None and any(damaged in message for message in messages)
        remedies += 1
        if status != 2 or len(messages) != 1 or not (named or outcome) or remedies > 4:
            return "unhelpful"
        target = remedied(messages[0], project)
        number = producer(graph, target) if target else -1
        if number < 0:
            return "unhelpful"
        outcome = "message"
    return outcome


def remedied(message: str, project: Path) -> str | None:
    """Delete what a message says is to be deleted; the target that it says is to be made."""
    if deleted := re.search(r"(?:delete|remove) (it|[\w./-]+)", message):
        path = message.split()[0] if deleted[1] == "it" else deleted[1]
        (project / path).unlink(missing_ok=True)
    if made := re.search(r"snakemake (?:--cores \w+ )?(?:-f |--forcerun )?([\w./-]+)", message):
        return made[1].rstrip(".")
    if source := re.search(r"run the download step for '(\w+)' again", message):
        return str(layout.raw_manifest(source[1]))
    return None


def producer(graph: Sequence[Job], target: str) -> int:
    """The job that makes a file; -1 if none does."""
    return next((number for number, job in enumerate(graph) if target in job.outputs), -1)


def diagnosed(project: Path, found: Trial) -> list[str]:
    """The targets that `vlkd doctor --deep` says are to be made again."""

    def doctor() -> int:
        verdict = integrity.verify(EXPERIMENT)
        print(json.dumps([str(target) for target in verdict.commands]))
        print(verdict.text())
        return 0

    status, text = forked(project, doctor)
    found.notes.append(f"doctor ends with status {status}\n{text}")
    targets: list[str] = [] if status else json.loads(text.splitlines()[0])
    return targets


def names(project: Path) -> set[str]:
    return {path.relative_to(project).as_posix() for path in project.rglob("*") if path.is_file()}


def contents(project: Path) -> dict[str, str]:
    """The sha256 of every file by name; "" of files that are not compared."""
    return {name: "" if UNCOMPARED.search(name) else files.sha256(project / name) for name in sorted(names(project))}


def different(expected: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    differing = (name for name in {*expected, *found} if expected.get(name) != found.get(name))
    return sorted(name for name in differing if name in found or not UNCOMPARED.search(name))


if __name__ == "__main__":
    raise SystemExit(main())
