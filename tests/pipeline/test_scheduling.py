"""Snakemake's own work: it looks for jobs when one has ended, not by the clock, and one at a time works in a folder."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from own_data import PARAMS, start

from vlkd_steps.core import files, layout, locks, running


@pytest.mark.exhaustive
def test_it_looks_for_jobs_as_often_as_jobs_end(new_project) -> None:
    project = start(new_project("scheduling"))
    output = project.run("snakemake", "--cores", "1", "--verbose", "--", "all_split")
    ended = output.count("Finished jobid")
    assert ended > 6
    assert output.count("Ready jobs:") <= ended


def test_a_second_snakemake_names_the_first_and_starts_no_job(new_project) -> None:
    project = new_project("second")
    with locks.exclusive(Path(project.folder, ".snakemake", "vlkd.lock")) as holder:
        assert holder is None
        output = project.run(
            "snakemake", "--cores", "1", "--config", "experiment=scenes_smoke", "--", "all_download", status=2
        )
    assert f"error: another snakemake (process {os.getpid()} on " in output
    assert "Traceback" not in output
    assert not (project.folder / "data" / "raw").exists()


def until(holds: Callable[[], object], running_command: "subprocess.Popen[bytes]", said: Path) -> None:
    end = time.monotonic() + 600
    while not holds():
        assert running_command.poll() is None, said.read_text()
        assert time.monotonic() < end, said.read_text()
        time.sleep(0.02)


def test_a_run_waits_for_the_step_that_a_killed_snakemake_left_running(new_project) -> None:
    """It would write the result of its older configuration over the new one."""
    project = start(new_project("orphan"))
    command, said = ["snakemake", "--cores", "1", "--", "all_prepare"], project.folder / "said.txt"

    def begun() -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            command, cwd=project.folder, env=project.environment(), stdout=said.open("wb"), stderr=subprocess.STDOUT
        )

    held = project.folder / running.FOLDER
    with begun() as first:
        until(lambda: list(held.glob("prepare-*")) and next(held.iterdir()).read_text(), first, said)
        prepare = int(next(held.iterdir()).read_text().split()[1])
        os.kill(prepare, signal.SIGSTOP)
        first.kill()
    project.params(overrides=PARAMS["overrides"] | {"datasets.mine.vocabulary.minimum": 1})
    with begun() as second:
        try:
            until(lambda: f"waits for the step prepare (process {prepare} on " in said.read_text(), second, said)
        finally:
            os.kill(prepare, signal.SIGCONT)
        assert second.wait(120) == 0, said.read_text()
    labels = layout.labels("mine")
    named = json.loads((project.folder / layout.phase_manifest("scenes_smoke", "prepare")).read_text())["files"]
    assert files.sha256(project.folder / labels) == named[str(labels)]["sha256"]
    made = (project.folder / labels).read_bytes()
    project.snakemake("--forcerun", "prepare", "--", "all_prepare")
    assert (project.folder / labels).read_bytes() == made
    assert not list(held.iterdir())
