"""Snakemake's own work: it looks for jobs when one has ended, not by the clock, and one at a time works in a folder."""

import os
from pathlib import Path

from own_data import start

from vlkd_steps.core import locks


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
