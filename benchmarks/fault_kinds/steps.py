"""Faults of a step: it is struck at one of its writes, or a file that some step has left is damaged.

A trial continues a copy of the small project as it was before, or after, a step. Either the step is struck at one of
its writes (a rename, a flush to the disk, a line of the journal): by kill -9, by TERM, or by a full disk. Or a file
that some step has left is damaged, its modification time kept; half of these trials kill the step first and damage what
it has left by then. Then the same command is run again, and the rest of the graph. A trial ends early where every file
is as it was at that point of the undisturbed project.
"""

import collections
import contextlib
import errno
import functools
import json
import os
import random
import re
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from fault_kinds.outcomes import BAD, Trial
from fault_kinds.small_project import (
    EXPERIMENT,
    TIMED,
    Job,
    Undisturbed,
    contents,
    different,
    forked,
    kind,
    make,
    names,
    run,
)  # fmt: skip

from vlkd_steps.config import phases
from vlkd_steps.core import layout, leftovers
from vlkd_steps.graph import integrity
from vlkd_steps.tracking import journal
from vlkd_steps.tracking.journal import Journal

STRIKES = ("kill -9 at a write", "TERM at a write", "a write fails (no space)")
DAMAGES = ("a flipped bit", "a cut file", "an emptied file", "a deleted file", "a file of other data")
FAULTS = (*STRIKES, *DAMAGES)


def happen(fault: str, at: int, number: int, written: Any) -> None:
    """Have a fault happen at the write of number `at`."""
    if number != at:
        return
    if fault == STRIKES[2]:
        name = getattr(written, "path", None) or getattr(written, "name", None) or written
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(name))
    if fault == STRIKES[0]:
        if isinstance(written, Journal):  # in the middle of a line
            with written.path.open("ab") as stream:
                stream.write(b'{"event":"metrics","time":17')
        os.kill(os.getpid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGTERM)


@contextlib.contextmanager
def trials(scratch: Path, seed: int) -> Iterator[Callable[[int], Trial]]:
    """Make the project; yields what makes the trial of a number."""
    yield functools.partial(trial, make(scratch), seed)


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
        at = choice.randrange(undisturbed.writes[start])
        found.where += f", write {at} of {undisturbed.writes[start]}"
        strike = functools.partial(happen, found.fault if striking else STRIKES[0], at)
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
    return not_ended(project, found) or outcome


def not_ended(project: Path, found: Trial) -> str | None:
    """ "not ended" if a run of the project has no end in its journal."""
    for folder in sorted(project.glob("runs/*/*/*/*/*/s*")):
        key = journal.owner(folder)
        if key is None or not journal.ended(layout.journal(folder), key):
            found.notes.append(f"{folder.relative_to(project)} has not ended")
            return "not ended"
    return None


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
