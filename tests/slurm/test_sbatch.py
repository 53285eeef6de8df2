"""Which job a submission made, whatever a site's wrapper prints, and which jobs were cancelled: read from the queue."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from pipeline_project import Project
from waiting import CHATTY, Submitter, configuration, jobs, places, state, submitted, wrapper

from vlkd_steps.cli import doctor

LONG = {"steps": 100_000, "evaluate_every": 0}


def one(project: Project, **training: object) -> dict[str, object]:
    return {**configuration(project, **training), "seeds": [1]}


@pytest.mark.parametrize(
    "status", [pytest.param("", marks=pytest.mark.exhaustive), 'exec 1>&-; echo "all is well"; exit 1']
)
def test_a_wrapper_may_print_anything_and_return_any_status(project: Project, tmp_path: Path, status: str) -> None:
    before = submitted(project)
    shell = wrapper(tmp_path / "bin", "sbatch", CHATTY.replace("exit $status", status or "exit $status"))
    submitter = Submitter(project, one(project), shell)
    submitter.until(lambda: all(jobs(project).values()) and jobs(project), "submitted")
    ids = set(jobs(project).values())
    assert submitter.ends() == 0, submitter.said
    assert submitted(project) - before == ids


def test_a_wrapper_that_prints_no_id_at_all(project: Project, tmp_path: Path) -> None:
    shell = wrapper(tmp_path / "bin", "sbatch", '"$REAL" "$@" >/dev/null && echo "Your job 99 is on its way"')
    submitter = Submitter(project, configuration(project), shell)
    submitter.until(lambda: all(jobs(project).values()) and jobs(project), "submitted")
    ids = set(jobs(project).values())
    assert submitter.ends() == 0, submitter.said
    assert submitted(project) == ids
    assert len(ids) == 2


def test_a_wrapper_that_submits_nothing_is_one_message(project: Project, tmp_path: Path) -> None:
    submitter = Submitter(project, one(project), wrapper(tmp_path / "bin", "sbatch", "echo 99; echo see the manual"))
    assert submitter.ends() == 2
    assert submitter.said.count("error: sbatch succeeded, but no job of this work is in the queue") == 1
    assert "see the manual" in submitter.said
    assert not submitted(project)


@pytest.mark.exhaustive
def test_a_partition_changed_by_a_wrapper_is_reported(project: Project, tmp_path: Path) -> None:
    shell = wrapper(tmp_path / "bin", "sbatch", 'exec "$REAL" --partition=urgent "$@"')
    submitter = Submitter(project, one(project), shell)
    assert submitter.ends() == 0, submitter.said
    assert "submitted  partition urgent (the profile requests normal)" in submitter.said
    assert {partition for partition, _ in places(project).values()} >= {"urgent"}


@pytest.mark.exhaustive
def test_only_what_ends_is_called_cancelled(project: Project, tmp_path: Path) -> None:
    submitter = Submitter(project, one(project, **LONG), wrapper(tmp_path / "bin", "scancel", "exit 0"))
    submitter.until(lambda: "RUNNING" in submitter.said, "running")
    [job_id] = jobs(project).values()
    try:
        os.killpg(submitter.process.pid, signal.SIGINT)
        assert submitter.process.wait(30) == 130
        assert "cancelled:" not in submitter.said
        assert f"left running: {job_id}; " in submitter.said
        assert f"scancel {job_id}" in submitter.said
        assert state(job_id) == "RUNNING"
        assert list(jobs(project).values()) == [job_id]  # the same command finds it again
    finally:
        subprocess.run(["scancel", job_id], check=True)


@pytest.fixture
def no_arrays(cluster: dict[str, str], root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A cluster of its own on which an array may have one task."""
    folder = Path("/tmp") / f"vlkd-arrays-{os.getpid()}"  # sockets have short names only
    environment = {**os.environ, "VLKD_CLUSTER": str(folder), "VLKD_CLUSTER_CPUS": "4"}

    def script(word: str) -> None:
        subprocess.run([root / "scripts/slurm_dev_cluster", word], env=environment, check=True, capture_output=True)

    try:
        script("up")
        with (folder / "slurm.conf").open("a") as conf:
            conf.write("MaxArraySize=1\n")
        pid = int((folder / "slurmctld.pid").read_text())
        os.kill(pid, signal.SIGTERM)
        while Path(f"/proc/{pid}").exists():
            os.sched_yield()
        script("up")
        monkeypatch.setenv("SLURM_CONF", str(folder / "slurm.conf"))
        yield
    finally:
        script("down")


@pytest.mark.usefixtures("no_arrays")
@pytest.mark.exhaustive
def test_more_seeds_than_an_array_may_have(
    project: Project, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    submitter = Submitter(project, configuration(project))
    submitter.until(lambda: len(jobs(project)) == 2 and all(jobs(project).values()), "submitted")
    assert not any("_" in job_id for job_id in jobs(project).values())
    assert submitter.ends() == 0, submitter.said
    assert len(submitted(project)) == 2
    monkeypatch.chdir(root)
    assert doctor.main(["--profile", "profiles/slurm_dev", "--wait", "5"]) == 2
    said = capsys.readouterr().out
    assert "fail  arrays           this cluster's MaxArraySize is 1" in said
    assert said.count("fail  ") == 1, said
