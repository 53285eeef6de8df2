"""kill -9 of Snakemake and its submitters while jobs are finished, running and pending: the same command finds all."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from own_data import hashes
from pipeline_project import Project, finished
from waiting import jobs, state, submitted

RUNS = 4  # two variants, two seeds each


def start(project: Project, output: Path) -> subprocess.Popen[bytes]:
    with output.open("a") as stream:
        return subprocess.Popen(
            ["snakemake", "--profile", "slurm"],
            cwd=project.folder,
            env=project.environment(),
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        )


def until(happened, what: str, output: Path, seconds: float = 600) -> None:
    limit = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < limit, f"not after {seconds} s: {what}\n{output.read_text()}"
        time.sleep(0.2)


def submitters(project: Project) -> list[str]:
    """Processes that wait for this project's jobs; other tests have theirs."""
    found = subprocess.run(["pgrep", "-f", "vlkd_steps.steps.distill --config"], capture_output=True, text=True).stdout
    links = [Path("/proc") / pid / "cwd" for pid in found.split()]
    return [str(link) for link in links if link.is_symlink() and link.resolve() == project.folder.resolve()]


@pytest.mark.slow
@pytest.mark.exhaustive  # test_submitter.py finds single jobs again, test_extraction_array.py an array
def test_the_same_command_finds_every_job_again(project: Project, finished_project: Project, tmp_path: Path) -> None:
    output = tmp_path / "snakemake.txt"
    # One training at a time, so that some have ended while others wait: each requests more than half of the node.
    profile = project.folder / "profiles/slurm/config.yaml"
    text = profile.read_text()
    assert "    mem_mb: 1000\n" in text
    profile.write_text(text.replace("    mem_mb: 1000\n", "    mem_mb: 1000\n    cpus_per_task: 5\n", 1))
    before = submitted(project)
    head = start(project, output)

    def states() -> list[str]:
        return sorted(state(job_id) for job_id in jobs(project).values())

    # All but the first are held as soon as they are known, however slowly this machine submits.
    held: list[str] = []

    def all_held() -> bool:
        known = sorted((job_id for job_id in jobs(project).values() if job_id), key=by_number)
        for job_id in known[1:]:
            if job_id not in held:
                subprocess.run(["scontrol", "hold", job_id], check=True)
                held.append(job_id)
        return len(held) == RUNS - 1

    until(all_held, "all submitted", output)
    until(lambda: "COMPLETED" in states(), "a run has finished", output)
    runs, *waits = held
    subprocess.run(["scontrol", "release", runs], check=True)
    until(lambda: {"COMPLETED", "RUNNING", "PENDING"} <= set(states()), "finished, running and pending", output)
    os.killpg(head.pid, signal.SIGKILL)
    head.wait()
    until(lambda: not submitters(project), "its submitters are gone", output, seconds=60)
    known = jobs(project)
    first = output.read_text()
    until(lambda: states().count("COMPLETED") >= 2, "a job ends while nobody waits", output)
    active = {part: job_id for part, job_id in known.items() if state(job_id) != "COMPLETED"}
    assert active

    again = start(project, output)
    for job_id in waits:
        subprocess.run(["scontrol", "release", job_id], check=True)
    assert again.wait(300) == 0, output.read_text()
    said = output.read_text()[len(first) :]
    for part, job_id in active.items():
        assert f"{part.split()[-1]}] found again: job {job_id}" in said
    assert "submitted  partition" not in said  # nothing was submitted a second time
    assert len(submitted(project) - before) == RUNS
    assert "another snakemake" not in said
    one_machine = {path: value for path, value in hashes(finished_project).items() if path.startswith("runs/")}
    assert one_machine
    assert one_machine.items() <= hashes(project).items()
    assert finished(project.snakemake()) == {}


def by_number(job_id: str) -> list[int]:
    return [int(number) for number in job_id.split("_")]
