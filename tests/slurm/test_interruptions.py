"""Preemption, time limit, requeue by hand, kill -9: the run resumes in its folder, to the undisturbed bytes."""

import json
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pipeline_project import Project
from waiting import Submitter, configuration, jobs, state

from vlkd_steps.core.files import sha256
from vlkd_steps.tracking import journal

FOLDER = "runs/scenes_smoke/mine/vilt_scenes/clip_td/20/s1"
EVERY = 50  # steps between checkpoints
RECIPE = {"steps": 300, "evaluate_every": 0, "checkpoint_every": EVERY}


def settings(project: Project) -> dict[str, Any]:
    return {**configuration(project, "clip_td", **RECIPE), "seeds": [1]}


def results(project: Project) -> dict[str, str]:
    folder = project.folder / FOLDER
    found = [folder / "model.safetensors", *sorted((folder / "predictions").glob("*.parquet"))]
    return {path.name: sha256(path) for path in found}


@pytest.fixture(scope="module")
def undisturbed(prepared: Project, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What one process makes, without Slurm."""
    project = prepared.copy(tmp_path_factory.mktemp("undisturbed") / "project")
    project.run(sys.executable, "-m", "vlkd_steps.steps.distill", "--config", json.dumps(settings(project)))
    return results(project)


def preempt(job_id: str) -> None:
    """Another job takes all of the node, for a moment."""
    command = ["sbatch", "--partition=urgent", "--exclusive", "--output=/dev/null", "--wrap=sleep 1"]
    subprocess.run(command, check=True, capture_output=True)


def by_hand(job_id: str) -> None:
    subprocess.run(["scontrol", "requeue", job_id], check=True)


def kill(job_id: str) -> None:
    subprocess.run(["scancel", "--signal=KILL", f"{job_id}.0"], check=True)


def reach_the_limit(job_id: str) -> None:
    """The warning comes by itself, with the controller's look at limits every half a minute; until then time stops."""
    subprocess.run(["scancel", "--signal=STOP", f"{job_id}.0"], check=True)
    time.sleep(32)
    subprocess.run(["scancel", "--signal=CONT", f"{job_id}.0"], check=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    "disturb",
    [preempt, *(pytest.param(each, marks=pytest.mark.exhaustive) for each in (kill, by_hand, reach_the_limit))],
)
def test_a_disturbed_run_ends_in_the_undisturbed_bytes(
    disturb: Callable[[str], None], project: Project, undisturbed: dict[str, str]
) -> None:
    # The warning is due 40 s after the start; the limit itself is far enough for a start on a busy machine.
    limit = {"runtime": 2, "warning": 80} if disturb is reach_the_limit else {}
    submitter = Submitter(project, settings(project), **limit)
    path = project.folder / FOLDER / "journal.jsonl"
    submitter.until(lambda: last_step(path) > EVERY, "a while into the training")
    disturb(next(iter(jobs(project).values())))
    assert submitter.ends() == 0, submitter.said

    assert results(project) == undisturbed
    events = journal.read(path)
    assert len(journal.by_run(events)) == 1  # one run, however many attempts
    starts = [event for event in events if event["event"] == "start"]
    assert [event["attempt"] for event in starts] == list(range(1, len(starts) + 1))
    assert len(starts) >= 2
    assert events[-1]["event"] == "end"
    assert events[-1]["status"] == "FINISHED"
    steps = [event["step"] for event in events if event["event"] == "metrics"]
    if disturb is kill:
        assert "resubmitted" in submitter.said
        assert len(steps) - len(set(steps)) <= EVERY / 25 + 1  # at most the steps after the last checkpoint
    else:
        assert any(event["event"] == "interrupted" for event in events)
        assert steps == sorted(set(steps))  # nothing was computed twice
        # Slurm itself may lose a requeue on a busy machine and call the job failed (seen by hand and at the limit): the
        # end of the first attempt reaches the controller after the job was started again, as these tests do at once.
        # The submitter then submits again; all of the above holds as well.
        lost = "FAILED, exit 1:0, NonZeroExitCode" in submitter.said
        assert lost or "resubmitted" not in submitter.said
    overlapping(events)
    if disturb is by_hand:
        in_mlflow(project)


def test_the_warning_requeues_one_task_of_an_array(cluster: dict[str, str], tmp_path: Path) -> None:
    """The last task has the array's id as SLURM_JOB_ID, by which Slurm would requeue all of them."""
    ask = "from vlkd_steps.launch.slurm import attempt; attempt.still_running() and attempt.requeue()"
    task = (
        f'if [ "$SLURM_ARRAY_TASK_ID" = 1 ] && [ -z "$SLURM_RESTART_COUNT" ]; then {shlex.quote(sys.executable)} -c '
        f"{shlex.quote(ask)}; fi; sleep 300"
    )
    options = ["--parsable", "--array=0-1", "--requeue", "--partition=normal", "--mem=100", f"--wrap={task}"]
    sbatch = ["sbatch", *options, f"--output={tmp_path}/%a.log"]
    base = subprocess.run(sbatch, check=True, capture_output=True, text=True).stdout.strip()
    try:
        until = time.monotonic() + 600
        while state(f"{base}_1") != "PENDING" or restarts(f"{base}_1") != 1:
            assert time.monotonic() < until, (tmp_path / "1.log").read_text()
            time.sleep(0.3)
        time.sleep(2)
        assert state(f"{base}_0") == "RUNNING"
        assert restarts(f"{base}_0") == 0
    finally:
        subprocess.run(["scancel", base], check=True)


def restarts(job_id: str) -> int:
    shown = subprocess.run(["scontrol", "show", "job", "--oneliner", job_id], capture_output=True, text=True).stdout
    return int(shown.partition(" Restarts=")[2].split()[0])


def last_step(path: Path) -> int:
    return max((event["step"] for event in journal.read(path) if event["event"] == "metrics"), default=0)


def in_mlflow(project: Project) -> None:
    """One run of two attempts."""
    project.run(sys.executable, "-m", "vlkd_steps.cli.track", "scenes_smoke")
    code = (
        "import mlflow; c = mlflow.MlflowClient('sqlite:///mlflow.db'); "
        "e = c.get_experiment_by_name('scenes_smoke').experiment_id; "
        "found = c.search_runs([e], \"tags.seed != ''\"); "  # without the parent run
        "print([(r.info.status, r.data.tags['attempts']) for r in found])"
    )
    assert "[('FINISHED', '2')]" in project.run(sys.executable, "-c", code)


def overlapping(events: list[journal.Event]) -> None:
    """Two attempts never write one folder: an attempt's events come before the next one's start."""
    times = [event["time"] for event in events]
    assert times == sorted(times)
    assert time.time() >= times[-1]
