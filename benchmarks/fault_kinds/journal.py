"""Damaged lines of a run's journal.

A trial continues a copy of the small project as it was after a run, or kills the run at one of its writes. Then one to
four lines of its journal are damaged: cut, overwritten by zeros, or by something else that is no event. The same
command, which reads the journal before it goes on, has to say how many lines it leaves out and which is the first; so
has `vlkd doctor --deep`. The run's results, and all that follow, have to be the same, but for the plot of the loss
curves, which are drawn from the journal.
"""

import contextlib
import functools
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from fault_kinds import steps
from fault_kinds.outcomes import Trial
from fault_kinds.small_project import EXPERIMENT, Undisturbed, contents, different, forked, make, run

from vlkd_steps.graph import integrity
from vlkd_steps.tracking import journal

CURVES = f"results/{EXPERIMENT}/plots/loss_curves.svg"
FAULTS = ("damaged lines of a journal",)


@contextlib.contextmanager
def trials(scratch: Path, seed: int) -> Iterator[Callable[[int], Trial]]:
    """Make the project; yields what makes the trial of a number."""
    yield functools.partial(trial, make(scratch, other=False), seed)


def trial(undisturbed: Undisturbed, seed: int, number: int) -> Trial:
    """Inject one fault, go on, and judge."""
    choice = random.Random(f"{seed} journal {number}")
    found = Trial(number, FAULTS[0])
    start = choice.choice([n for n, job in enumerate(undisturbed.jobs) if job.name == "distill"])
    job = undisturbed.jobs[start]
    project = undisturbed.folder.parent / f"trial-{number}"
    killed = choice.random() < 0.5
    shutil.copytree(undisturbed.before(start if killed else start + 1), project)
    [config] = [Path(path) for path in job.outputs if path.endswith("config.yaml")]
    path = project / config.parent / "journal.jsonl"
    if killed:
        at = choice.randrange(undisturbed.writes[start] // 2, undisturbed.writes[start])
        run(project, job, functools.partial(steps.happen, steps.STRIKES[0], at))
        found.where = f"killed at write {at}, "
    before = journal.damaged(path)  # the line in which it was killed
    lines = choice.sample(range(len(path.read_bytes().splitlines())), choice.randint(1, 4))
    content = path.read_bytes().splitlines(keepends=True)
    for line in lines:
        content[line] = damaged(content[line].rstrip(b"\n"), choice) + b"\n"
    path.write_bytes(b"".join(content))
    count, first = journal.damaged(path), min(lines) + 1
    found.where += f"{config.parent}: {len(lines)} lines, the first {first}, and {count - len(lines)} torn before"
    assert count in (len(lines), len(lines) + before)
    status, said = forked(project, lambda: print(integrity.verify(EXPERIMENT).text()) or 0)  # type: ignore[func-returns-value]
    where = path.relative_to(project)
    named = not status and f"damaged   {where}: {count} of its lines cannot be read" in said
    status, text, _ = run(project, job)
    found.notes += [said, text]
    if status or "Traceback" in text:
        found.outcome = "traceback" if "Traceback" in text else "WRONG"
    elif f"{where}: {count} of its lines cannot be read" not in text or not named:
        found.outcome = "unsaid"
    else:
        found.outcome = followed(undisturbed, project, found, start + 1)
    shutil.rmtree(project)
    return found


def followed(undisturbed: Undisturbed, project: Path, found: Trial, start: int) -> str:
    """Run the rest of the graph, and compare."""
    if bad := steps.go_on(undisturbed, project, found, start, None):
        return bad
    expected = contents(undisturbed.before(len(undisturbed.jobs)))
    if differing := set(different(expected, contents(project))) - {CURVES}:
        found.notes.append(f"differing: {', '.join(sorted(differing))}")
        return "WRONG"
    return steps.not_ended(project, found) or "same"


def damaged(line: bytes, choice: random.Random) -> bytes:
    """A line that is no event any more."""
    how = choice.randrange(3)
    if how == 0:
        return line[: choice.randrange(1, max(2, len(line)))]
    return bytes(len(line)) if how == 1 else b"\xff" + line[1:]
