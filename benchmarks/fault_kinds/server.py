"""An MLflow server that goes away while `vlkd track --follow` fills it, and comes back.

A trial replays one run of the small project: its journal grows to a random line while the tracker follows it, the
server is killed (-9), the journal grows on to its end and the run's files appear, and after 2 to 20 s the server is
back at the same address. The tracker has to say once that the server does not answer and what is not written, and to
have caught up within a minute, without being asked: every run with its status, parameters, tags, metrics at every step,
data sets, and artifacts, compared with those of a server that was never away.
"""

import contextlib
import functools
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from fault_kinds.outcomes import Trial
from fault_kinds.small_project import EXPERIMENT, Undisturbed, make

from vlkd_steps.cli import ui
from vlkd_steps.core import files, locks
from vlkd_steps.tracking import mlflow_environment, mlflow_sync
from vlkd_steps.tracking.records import MEAN_OVER

FAULTS = ("an MLflow server goes away and comes back",)
CAUGHT_UP = 60.0  # seconds
LONGEST = 120.0
PLACED = ("MLmodel", "run.json")  # artifacts that hold ids, times, or where the project is
OWN_IDS = ("mlflow.runId", mlflow_sync.PARENT, "mlflow.log-model.history")


@contextlib.contextmanager
def trials(scratch: Path, seed: int) -> Iterator[Callable[[int], Trial]]:
    """Make the project and what MLflow holds of it; yields what makes the trial of a number."""
    undisturbed = make(scratch, other=False)
    mlflow_environment.set_defaults()
    from mlflow import MlflowClient

    empty = scratch / "empty.db"
    MlflowClient(tracking_uri=f"sqlite:///{empty}").search_experiments()
    project = scratch / "tracked"
    shutil.copytree(undisturbed.before(len(undisturbed.jobs)), project)
    with served(scratch / "server", empty) as (uri, _):
        subprocess.run(track(uri), cwd=project, check=True)
        expected = held(uri)
    yield functools.partial(trial, undisturbed, empty, expected, seed)


def trial(undisturbed: Undisturbed, empty: Path, expected: Any, seed: int, number: int) -> Trial:
    """Inject one fault, go on, and judge."""
    choice = random.Random(f"{seed} server {number}")
    found = Trial(number, FAULTS[0])
    folder = undisturbed.folder.parent / f"trial-{number}"
    project, log = folder / "project", folder / "track.log"
    shutil.copytree(undisturbed.before(len(undisturbed.jobs)), project)
    run = choice.choice(sorted(path.parent for path in project.glob("runs/*/*/*/*/*/s*/journal.jsonl")))
    whole = run.rename(folder / "whole")
    try:
        found.outcome = outage(project, run, whole, empty, log, expected, found, choice)
    finally:
        found.notes.append(log.read_text() if log.exists() else "")
        shutil.rmtree(folder)
    if "Traceback" in found.notes[-1]:
        found.outcome = "traceback"
    return found


def outage(
    project: Path, run: Path, whole: Path, empty: Path, log: Path, expected: Any, found: Trial, choice: random.Random
) -> str:
    lines = (whole / "journal.jsonl").read_bytes().splitlines(keepends=True)
    cut, away = choice.randrange(1, len(lines)), choice.uniform(2, 20)
    found.where = f"{run.relative_to(project)}, line {cut} of {len(lines)}, for {away:.0f} s"
    run.mkdir()
    with contextlib.ExitStack() as ending:
        journal = ending.enter_context((run / "journal.jsonl").open("ab", buffering=0))
        locks.mark_open(journal)
        journal.writelines(lines[:cut])
        served_now = contextlib.ExitStack()
        ending.enter_context(served_now)
        uri, server = served_now.enter_context(served(project.parent / "server", empty))
        with log.open("w") as output:
            tracker = subprocess.Popen(track(uri, "--follow"), cwd=project, stdin=subprocess.PIPE, stderr=output)
        ending.callback(tracker.kill)
        if not wait(lambda: len(held(uri)) > 2, LONGEST):  # both runs, and a mean at least
            return "hangs"
        time.sleep(choice.uniform(0, 2))
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
        journal.writelines(lines[cut:])
        shutil.copytree(whole, run, dirs_exist_ok=True, ignore=shutil.ignore_patterns("journal.jsonl"))
        journal.close()
        time.sleep(away)
        said = wait(lambda: "does not answer" in log.read_text(), LONGEST)
        served_now.close()
        with served(project.parent / "server", None, int(uri.rpartition(":")[2])) as (uri, _):
            back = time.monotonic()
            caught_up = wait(lambda: "answers again" in log.read_text(), CAUGHT_UP)
            found.where += f", caught up after {time.monotonic() - back:.0f} s"
            tracker.stdin.close()  # type: ignore[union-attr]
            if not caught_up or tracker.wait(LONGEST):
                return "hangs"
            now = held(uri)
        if now != expected:
            differing = [name for name in {*now, *expected} if now.get(name) != expected.get(name)]
            found.notes += [f"differing: {each}: {now.get(each)}\n{expected.get(each)}" for each in differing]
            return "WRONG"
        text = log.read_text()
        named = re.search(r"not written, or not to the end: \w", text)
        return "same" if said and named and text.count("does not answer") == 1 else "unsaid"


def track(uri: str, *more: str) -> list[str]:
    return [sys.executable, "-m", "vlkd_steps.cli.track", EXPERIMENT, "--tracking-uri", uri, *more]


@contextlib.contextmanager
def served(folder: Path, empty: Path | None, port: int = 0) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """An MLflow server over a sqlite file in a folder of its own; `empty` is copied there first."""
    folder.mkdir(exist_ok=True)
    if empty:
        shutil.copyfile(empty, folder / "mlflow.db")
    with contextlib.chdir(folder), ui.served("sqlite:///mlflow.db", port or ui.free_port(5800)) as server:
        yield server


def held(uri: str) -> dict[str, Any]:
    """What a server holds of the experiment, by the run's name, but for the ids that it gives."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    found = {}
    for run in client.search_runs([experiment.experiment_id]) if experiment else []:
        histories = {name: client.get_metric_history(run.info.run_id, name) for name in sorted(run.data.metrics)}
        found[f"{run.info.run_name}{' (mean)' if MEAN_OVER in run.data.tags else ''}"] = (
            run.info.status, run.info.start_time, run.info.end_time, run.data.params,
            {name: value for name, value in run.data.tags.items() if name not in OWN_IDS},
            {name: latest(history) for name, history in histories.items()},
            sorted((each.dataset.name, each.dataset.digest) for each in run.inputs.dataset_inputs),
            artifacts(run.info.run_id),
        )  # fmt: skip
    return found


def latest(history: Sequence[Any]) -> dict[int, float]:
    """The value of each step: MLflow keeps a mean's earlier values, and the latest one counts."""
    return {each.step: each.value for each in sorted(history, key=lambda each: (each.step, each.timestamp))}


def artifacts(run_id: str) -> dict[str, str]:
    """The sha256 by name of a run's artifacts in the server's folder, which is the current one."""
    [*folders] = Path().glob(f"mlartifacts/*/{run_id}/artifacts")
    paths = [path for folder in folders for path in folder.rglob("*") if path.is_file() and path.name not in PLACED]
    return {path.as_posix().partition("/artifacts/")[2]: files.sha256(path) for path in paths}


def wait(happened: Callable[[], bool], seconds: float) -> bool:
    until = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > until:
            return False
        time.sleep(0.5)
    return True
