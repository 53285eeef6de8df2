"""Trackers that follow runs while they train, and several trackers at once."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tracked_runs import CLIP_TD, MakeRun, Tracked

from vlkd_steps.cli import track
from vlkd_steps.core import layout
from vlkd_steps.core.locks import exclusive
from vlkd_steps.tracking import tracker_lock
from vlkd_steps.tracking.journal import Journal


def test_a_second_tracker_is_logged_and_ends_with_success(
    make_run: MakeRun, uri: str, tracked: Tracked, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run()
    with exclusive(tracker_lock.path(uri, "scenes")) as holder:
        assert holder is None
        assert track.main(["scenes", "--tracking-uri", uri]) == 0
        assert track.main(["scenes", "--tracking-uri", uri, "--follow"]) == 0
    assert f"another tracker (process {os.getpid()} on " in capsys.readouterr().err
    assert tracked(uri) == {}


@pytest.mark.usefixtures("subprocess_environment")
@pytest.mark.parametrize(
    "ending", [*(pytest.param(each, marks=pytest.mark.exhaustive) for each in ("stdin", "term")), "pid"]
)
def test_following_shows_runs_while_they_train_and_ends_on_a_signal(
    make_run: MakeRun, uri: str, tracked: Tracked, ending: str
) -> None:
    folder = layout.run("scenes", "scenes_vqa", "vilt_scenes", "clip_td", 300, 10)
    watched = subprocess.Popen(["sleep", "600"])
    command = [
        sys.executable,
        "-m",
        "vlkd_steps.cli.track",
        "scenes",
        "--follow",
        "--tracking-uri",
        uri,
    ]
    command += ["--until-pid", str(watched.pid)]
    tracker = subprocess.Popen(command, stdin=subprocess.PIPE)
    try:
        make_run(end=None)
        with Journal(layout.journal(folder)) as journal:
            wait_for(lambda: [run.info.status for run in tracked(uri).values()] == ["RUNNING"])
            journal.append("metrics", step=110, metrics={"loss": 0.25})
            wait_for(lambda: tracked(uri)[CLIP_TD].data.metrics.get("train/loss") == 0.25)
            journal.append("end", status="FINISHED", seconds=5)
        assert tracker.stdin is not None
        if ending == "stdin":
            tracker.stdin.close()
        elif ending == "term":
            tracker.send_signal(signal.SIGTERM)
        else:
            watched.kill()
            watched.wait()
        assert tracker.wait(60) == 0
        assert tracked(uri)[CLIP_TD].info.status == "FINISHED"
    finally:
        for process in (watched, tracker):
            process.kill()
            process.wait()


@pytest.mark.slow
@pytest.mark.usefixtures("subprocess_environment")
def test_trackers_of_two_experiments_on_a_new_database_do_not_meet(
    make_run: MakeRun, tmp_path: Path, tracked: Tracked
) -> None:
    uri = f"sqlite:///{tmp_path / 'fresh.db'}"
    for experiment in ("scenes", "other"):
        for seed in (10, 11):
            make_run(experiment=experiment, seed=seed)
    command = [sys.executable, "-m", "vlkd_steps.cli.track", "--tracking-uri", uri]
    both = [subprocess.Popen([*command, experiment]) for experiment in ("scenes", "other", "scenes")]
    assert [tracker.wait(120) for tracker in both] == [0, 0, 0]
    assert len(tracked(uri, "scenes")) == len(tracked(uri, "other")) == 2


def wait_for(condition: Callable[[], bool], seconds: float = 300) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.3)
