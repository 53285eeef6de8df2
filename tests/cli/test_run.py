"""``vlkd run`` around a real snakemake: its options, its exit status, and the signals that reach it."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from vlkd_steps.cli import run
from vlkd_steps.graph import stopping

SNAKEFILE = """
from vlkd_steps.graph import stopping

stopping.at_once()

onstart:
    stopping.in_order(workflow.scheduler)

rule all:
    default_target: True
    input: "made.txt"

rule work:
    output: "made.txt"
    shell: "python work.py {output} " + config.get("experiment", "params")
"""
WORK = """
import pathlib, signal, sys, time
def heard(number, frame):
    with open("heard", "a") as stream:
        stream.write(signal.Signals(number).name + chr(10))
    if number == signal.SIGTERM and not pathlib.Path("deaf").exists():
        sys.exit(3)
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, heard)
pathlib.Path("started").touch()
if pathlib.Path("long").exists():
    time.sleep(8)
pathlib.Path(sys.argv[1]).write_text(sys.argv[2])
"""


@pytest.fixture(autouse=True)
def _interruptible() -> Iterator[None]:
    """Commands hear Ctrl-C, whatever the tests were started under: in the background, shells have it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A graph of one job in the current folder; the job takes long where there is a file `long`."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith(("SNAKEMAKE_", "MLFLOW_"))]:
        monkeypatch.delenv(name)
    Path("profiles/local").mkdir(parents=True)
    Path("profiles/local/config.yaml").write_text("cores: 1\n")
    Path("params.yaml").write_text(
        yaml.safe_dump(
            {
                "experiment": "scenes_smoke",
                "grid": {"dataset": ["scenes_smoke"]},
            }
        )
    )
    Path("Snakefile").write_text(SNAKEFILE)
    Path("work.py").write_text(WORK)
    return tmp_path


def start(root: Path, *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "vlkd_steps", "run", *options],
        env={**os.environ, "PYTHONPATH": str(root), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def started(root: Path, *options: str) -> subprocess.Popen[str]:
    """`start`, and the job runs."""
    Path("long").touch()
    process = start(root, *options)
    until = time.monotonic() + 300
    while not Path("started").exists():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < until
        time.sleep(0.05)
    return process


def survivors(folder: Path) -> list[str]:
    """The processes whose current folder is this one, but for this one."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if process.name != str(os.getpid()) and (process / "cwd").resolve() == folder.resolve():
                found.append((process / "cmdline").read_text())
        except OSError:
            continue
    return found


def test_an_experiment_and_options_reach_snakemake(root: Path, project: Path) -> None:
    process = start(root, "mine", "made.txt", "--quiet", "rules")
    said = process.communicate()[0]
    assert process.returncode == 0, said
    assert Path("made.txt").read_text() == "mine"
    assert "no table: results/mine/gains.csv" in said
    assert "MLflow experiment mine" in Path("logs/track.log").read_text()


@pytest.mark.parametrize("named", [["2024_05"], ["--config", "experiment=!!str 2024_05"]])
def test_a_name_that_snakemake_would_read_as_a_number(root: Path, project: Path, named: list[str]) -> None:
    process = start(root, *named, "--quiet", "rules", "--", "made.txt")
    said = process.communicate()[0]
    assert process.returncode == 0, said
    assert Path("made.txt").read_text() == "2024_05"
    assert "no table: results/2024_05/gains.csv" in said


@pytest.mark.parametrize("options", [["-n"], ["-pn"], ["mine", "--dry-run", "--", "made.txt"]])
def test_a_dry_run_runs_nothing_beside_it(root: Path, project: Path, options: list[str]) -> None:
    process = start(root, *options)
    assert "made.txt" in process.communicate()[0]
    assert process.returncode == 0
    assert not Path("logs").exists()
    assert not Path("made.txt").exists()


def test_what_snakemake_only_prints_has_no_results_below_it(root: Path, project: Path) -> None:
    Path("results/scenes_smoke").mkdir(parents=True)
    Path("results/scenes_smoke/gains.csv").write_text("")
    process = start(root, "--dag")
    said = process.communicate()[0]
    assert process.returncode == 0, said
    assert said.rstrip().endswith("}")  # what `dot` reads
    assert not Path("logs").exists()


def test_a_dry_run_onto_a_full_disk_is_one_message(root: Path, project: Path) -> None:
    command = [sys.executable, "-m", "vlkd_steps", "run", "-n"]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, env=environment, check=False)
    assert ended.returncode == 2
    assert "error: [Errno 28] No space left on device; make room" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_failure_keeps_snakemakes_status_and_says_how_to_continue(root: Path, project: Path) -> None:
    Path("work.py").write_text("raise SystemExit(7)")
    process = start(root)
    said = process.communicate()[0]
    assert process.returncode == 1
    assert said.splitlines()[-1].startswith("The run stopped;")


def test_what_is_refused_before_any_job_has_only_its_own_message(root: Path, project: Path) -> None:
    process = start(root, "--no-such-option")
    said = process.communicate()[0]
    assert process.returncode == 2
    assert "unrecognized arguments: --no-such-option" in said.splitlines()[-1]


@pytest.mark.parametrize(
    ("name", "kill"),
    [
        ("SIGINT", os.killpg),
        pytest.param("SIGINT", os.kill, marks=pytest.mark.exhaustive),
        ("SIGTERM", os.kill),
        pytest.param("SIGHUP", os.killpg, marks=pytest.mark.exhaustive),
    ],
)
def test_a_signal_ends_the_job_in_order_and_is_one_line(root: Path, project: Path, name: str, kill) -> None:
    process = started(root)
    kill(process.pid, getattr(signal, name))
    said = process.communicate(timeout=300)[0]
    assert process.returncode == 1, said
    assert Path("heard").read_text().split() == ["SIGTERM"]  # once
    assert said.count(stopping.FIRST) == 1
    assert not re.search("Traceback|Error|failed", said), said
    assert survivors(project) == []


def test_a_second_signal_ends_all_at_once(root: Path, project: Path) -> None:
    Path("deaf").touch()
    process = started(root)
    process.send_signal(signal.SIGINT)
    until = time.monotonic() + 300
    while not Path("heard").exists():
        assert time.monotonic() < until
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=300)[0]
    assert process.returncode == 128 + signal.SIGINT, said
    assert not Path("made.txt").exists()
    assert "Traceback" not in said
    assert survivors(project) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["scenes", "--config", "experiment=other"], "scenes and --config"),
        (["--profile", "profiles/local"], "params.yaml is not in"),
    ],
)
def test_mistakes_are_one_message(
    project: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture
) -> None:
    Path("params.yaml").unlink()
    assert run.main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert len(error.splitlines()) == 1


@pytest.mark.parametrize("locked", ["", ".snakemake", ".snakemake/iocache"])
def test_a_folder_that_may_not_be_written_is_one_message(
    project: Path, locked: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    Path(locked).mkdir(parents=True, exist_ok=True)
    monkeypatch.setattr(run.files, "writable", lambda path: path.resolve() != (project / locked).resolve())
    assert run.main(["-n"]) == 2
    assert f"you may not write into {locked or project}" in capsys.readouterr().err


def test_environments_that_a_group_shares_may_be_read_only(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".snakemake/conda").mkdir(parents=True)
    monkeypatch.setattr(run.files, "writable", lambda path: path.name != "conda")
    run.check_records()


def test_the_profile_is_the_one_named_or_the_local_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SNAKEMAKE_PROFILE", raising=False)
    assert run.profile(["-n"]) == ["--profile", "profiles/local"]
    assert run.profile(["--profile", "slurm"]) == []
    assert run.profile(["--profile=slurm"]) == []
    monkeypatch.setenv("SNAKEMAKE_PROFILE", "slurm")
    assert run.profile([]) == []


def test_the_tracker_does_without_a_log_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "logs").touch()
    monkeypatch.setattr(run, "LOG", tmp_path / "logs" / "track.log")
    with run.tracker_log() as log:
        assert log.name == os.devnull


def test_a_second_run_keeps_the_log_of_a_tracker_that_still_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "LOG", tmp_path / "track.log")
    for number in (1, 2):  # the first run's log is dropped when the second one starts
        with run.tracker_log() as log:
            tracker = subprocess.Popen(["sleep", "100"], stdout=log)
            log.write(b"run %d\n" % number)
        if number == 1:
            tracker.kill()
            tracker.wait()
    try:
        with run.tracker_log() as log:
            log.write(b"refused\n")
        assert run.LOG.read_text() == "run 2\nrefused\n"
    finally:
        tracker.kill()
        tracker.wait()
