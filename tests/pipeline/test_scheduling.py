"""Snakemake's own work: it looks for jobs when one has ended, not by the clock."""


def test_it_looks_for_jobs_as_often_as_jobs_end(new_project) -> None:
    project = new_project("scheduling")
    told = project.run(
        "snakemake", "--cores", "1", "--verbose", "--config", "experiment=scenes_smoke", "--", "all_split"
    )
    ended = told.count("Finished jobid")
    assert ended > 10
    assert told.count("Ready jobs:") <= ended
