"""Stale results never pass as current: not after a failed or partial run, not without Snakemake's metadata.

Every test starts from a copy of one finished project and changes one value, or removes one file. The real snakemake,
dvc and git; nothing is mocked.
"""

import os
import shutil
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest
import yaml
from own_data import PARAMS, hashes
from pipeline_project import Project

from vlkd_steps.config import composition, phases
from vlkd_steps.graph import planned

pytestmark = pytest.mark.slow

CELL = "runs/scenes_smoke/mine/vilt_scenes/clip_td/20/s1"
CHANGED = {**PARAMS["overrides"], "variants.clip_td.lambda0": 3}
ONE_METHOD = Counter(distill=1, evaluate=1, manifest_distill=1, compare=1, report=1, manifest_compare=1)


@pytest.fixture
def project(finished_project: Project, tmp_path: Path) -> Project:
    return finished_project.copy(tmp_path / "project")


@pytest.fixture
def changed(project: Project) -> Project:
    project.params(overrides=CHANGED)
    return project


def lock(project: Project) -> bytes:
    return (project.folder / "dvc.lock").read_bytes()


def strength(project: Project) -> float:
    return yaml.safe_load((project.folder / CELL / "config.yaml").read_text())["method"]["lambda0"]


def is_current(project: Project) -> bool:
    """All entry points agree, and rightly."""
    return (
        strength(project) == 3
        and project.dry_run() == Counter()
        and "up to date" in project.dvc("status")
        and b"lambda0: 3" in lock(project)
    )


def kill_training(project: Project, *command: str) -> str:
    """Run a command, kill -9 the training that it starts, and return what it says at its end."""
    running = subprocess.Popen(
        command,
        cwd=project.folder,
        env=project.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    until = time.monotonic() + 600
    while time.monotonic() < until and running.poll() is None:
        for entry in Path("/proc").iterdir():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
                if b"vlkd_steps.steps.distill" in words and (entry / "cwd").resolve() == project.folder.resolve():
                    os.kill(int(entry.name), signal.SIGKILL)
            except (OSError, ValueError):
                continue
        time.sleep(0.05)
    output, _ = running.communicate(timeout=300)
    assert running.returncode, output
    return output


def test_a_killed_job_is_run_by_the_same_command(changed: Project) -> None:
    before = lock(changed)
    profile = ("--profile", "profiles/local")
    output = kill_training(changed, "snakemake", *profile)
    # whatever the profile's quiet hides: which rule, which log
    assert "failed: rule distill" in output
    assert "log: logs/distill/scenes_smoke/mine-vilt_scenes-clip_td-20.log" in output
    assert not (changed.folder / CELL / "model.safetensors").exists()
    assert lock(changed) == before
    assert changed.dry_run() == ONE_METHOD
    assert "phase download is not what dvc.lock says" in changed.run("python", "-m", "vlkd_steps.graph.sync", status=2)
    changed.run("snakemake", *profile)
    assert is_current(changed)


@pytest.mark.exhaustive
def test_a_killed_job_is_run_by_dvc_repro(changed: Project) -> None:
    kill_training(changed, "dvc", "repro")
    assert not (changed.folder / CELL / "model.safetensors").exists()
    assert changed.dry_run() == ONE_METHOD
    changed.dvc("repro")
    assert is_current(changed)


def test_files_that_are_missing_are_to_be_made(project: Project) -> None:
    planned: set[str] = set()
    for missing in (  # files of one group have no job in common
        {
            "manifest_split": "manifests/scenes_smoke/split.json",
            "report": "results/scenes_smoke/plots/loss_curves.svg",
        },
        {"evaluate": f"{CELL}/scores/dev.parquet"},
        {"distill": f"{CELL}/predictions/test.parquet"},
        {
            "extract": "features/clip_scenes/mine/*/text-*.npy",  # only the store's manifest names it
            "split_train": "data/splits/mine/train-20-s1.json",
        },
        {"download": "data/raw/mine/images/train/*.png"},  # only the source's manifest names it
    ):
        assert not planned & missing.keys()
        for name in missing.values():
            sorted(project.folder.glob(name))[0].unlink()
        planned = set(project.dry_run())
        assert missing.keys() <= planned


@pytest.mark.exhaustive
def test_files_that_are_missing_come_back_with_the_same_bytes(project: Project) -> None:
    before = hashes(project)
    for name in ("report.html", "summary.csv"):
        (project.folder / "results/scenes_smoke" / name).unlink()
    (project.folder / CELL / "predictions/test.parquet").unlink()
    sorted(project.folder.glob("features/clip_scenes/mine/*/text-*.npy"))[0].unlink()
    project.snakemake()
    assert hashes(project) == before
    assert project.dry_run() == Counter()


def test_the_list_of_phases_is_what_the_rules_declare(finished_project: Project, monkeypatch) -> None:
    summary = finished_project.snakemake("--summary").splitlines()
    header = next(number for number, line in enumerate(summary) if line.startswith("output_file"))
    declared = {line.split("\t")[0] for line in summary[header + 1 :] if "\t" in line}
    monkeypatch.chdir(finished_project.folder)
    monkeypatch.setattr(composition, "CONF", finished_project.folder / "vlkd_steps/conf")
    c = composition.compose()
    made = {phase: phases.of_phase(c, phase) for phase in phases.PHASES}
    listed = {str(path) for jobs in made.values() for job in jobs for path in job.outputs}
    assert declared == listed | {f"manifests/scenes_smoke/{phase}.json" for phase in phases.PHASES}
    assert declared == planned.of("scenes_smoke", made).keys()  # of each, a job on a cluster knows what was planned


PARTS = [
    pytest.param(["--until", "split_train"], marks=pytest.mark.exhaustive),
    pytest.param(["--batch", "compare=1/2"], marks=pytest.mark.exhaustive),
    ["--rerun-triggers", "mtime"],
    pytest.param(["--omit-from", "evaluate"], marks=pytest.mark.exhaustive),
    pytest.param(["--", f"{CELL}/config.yaml"], marks=pytest.mark.exhaustive),
]


@pytest.mark.parametrize("options", PARTS, ids=lambda options: " ".join(options[:2]))
def test_a_run_of_a_part_is_not_recorded(changed: Project, options: list[str]) -> None:
    before = lock(changed)
    changed.snakemake(*options)
    assert lock(changed) == before
    assert changed.dry_run() != Counter()


@pytest.mark.exhaustive
def test_the_table_after_a_run_of_a_part_may_be_of_an_earlier_run(changed: Project) -> None:
    note = "note: this table may be of an earlier run: "
    assert note in changed.run("python", "-m", "vlkd_steps", "run", "--until", "split_train")
    changed.params(overrides=PARAMS["overrides"])
    why = "from vlkd_steps.cli import run; print(repr(run.outdated('scenes_smoke')))"
    assert changed.run("python", "-c", why).strip() == "''"


@pytest.mark.exhaustive
@pytest.mark.parametrize("options", [["--forcerun", "report"]], ids=lambda given: given[0])
def test_a_run_with_an_option_that_is_no_whole_run_is_not_recorded(changed: Project, options: list[str]) -> None:
    before = lock(changed)
    assert f"not recorded in DVC, since {options[0]}" in changed.snakemake(*options)
    assert lock(changed) == before
    changed.run("python", "-m", "vlkd_steps.graph.commit")  # all of it is current: the user may
    assert is_current(changed)


@pytest.mark.parametrize(
    "options",
    [
        ["--touch", "--forceall"],
        pytest.param(["--allowed-rules", "manifest_distill"], marks=pytest.mark.exhaustive),
        pytest.param(["--touch"], marks=pytest.mark.exhaustive),
    ],
)
def test_what_calls_results_current_without_making_them_is_refused(changed: Project, options: list[str]) -> None:
    before = lock(changed)
    assert f"error: {options[0]}" in changed.snakemake(*options, status=None)
    assert lock(changed) == before
    assert changed.dry_run() == ONE_METHOD


def test_commit_refuses_what_is_not_current(changed: Project) -> None:
    before = lock(changed)
    refusal = changed.run("python", "-m", "vlkd_steps.graph.commit", status=2)
    assert "distill 1" in refusal
    assert lock(changed) == before


@pytest.mark.exhaustive
def test_commit_refuses_what_was_changed_by_hand(project: Project) -> None:
    table = project.folder / "results/scenes_smoke/summary.csv"
    table.write_text(table.read_text().replace("0", "9"))
    times = (project.folder / "results/scenes_smoke/gains.csv").stat()
    os.utime(table, ns=(times.st_atime_ns, times.st_mtime_ns))
    before = lock(project)
    refusal = project.run("python", "-m", "vlkd_steps.graph.commit", status=2)
    assert "results/scenes_smoke/summary.csv was changed after it was made" in refusal
    assert lock(project) == before


def change_by_hand(project: Project) -> None:
    metrics = project.folder / CELL / "metrics.json"
    metrics.write_text(metrics.read_text().replace('"accuracy": ', '"accuracy": 9'))


def test_a_result_that_was_changed_by_hand_is_to_be_made(project: Project) -> None:
    change_by_hand(project)
    assert {"evaluate", "compare", "report"} <= set(project.dry_run())


@pytest.mark.exhaustive
def test_a_result_that_was_changed_by_hand_comes_back(project: Project) -> None:
    before = hashes(project)
    change_by_hand(project)
    project.snakemake()
    assert hashes(project) == before


def test_sync_records_nothing_that_was_changed_by_hand_and_committed(project: Project) -> None:
    table = project.folder / "results/scenes_smoke/summary.csv"
    table.write_text(table.read_text().replace("0", "9"))
    project.dvc("commit", "--force")
    assert "summary.csv was changed after it was made" in project.run("python", "-m", "vlkd_steps.graph.sync", status=2)
    assert "compare" in project.dry_run()


def test_a_data_file_with_an_old_time_is_seen(project: Project) -> None:
    questions = project.folder / "data/incoming/mine/vqa/train_questions.json"
    questions.write_text(questions.read_text().replace("the ", "that ", 40))
    os.utime(questions, (1e9, 1e9))
    assert "download" in project.dry_run()


@pytest.mark.parametrize(
    "name",
    [
        "assets/open_clip/vlkd-scenes.json",
        pytest.param("assets/scenes_tokenizer/tokenizer.json", marks=pytest.mark.exhaustive),
    ],
)
def test_data_of_the_package_that_extract_reads_are_seen(project: Project, name: str) -> None:
    path = project.folder / "vlkd_steps" / name
    path.write_text(path.read_text() + "\n")
    assert "extract" in project.dry_run()


def test_a_damaged_manifest_is_written_again(project: Project) -> None:
    (project.folder / "manifests/scenes_smoke/compare.json").write_text('{"files": []}')
    assert project.dry_run() == Counter(manifest_compare=1)


def test_without_snakemakes_metadata_the_manifests_decide(changed: Project) -> None:
    shutil.rmtree(changed.folder / ".snakemake")
    assert {"distill", "evaluate"} <= set(changed.dry_run())


def test_without_memory_and_manifests_nothing_is_trusted(project: Project) -> None:
    shutil.rmtree(project.folder / ".snakemake")
    shutil.rmtree(project.folder / "manifests")
    assert {"download", "prepare", "split_train", "extract", "distill"} <= set(project.dry_run())


@pytest.mark.exhaustive
def test_results_of_another_configuration_are_made_again(changed: Project, tmp_path: Path) -> None:
    """As by `dvc checkout` of another commit: Snakemake remembers the jobs of this one."""
    other = changed.copy(tmp_path / "other")
    other.params(overrides=PARAMS["overrides"])
    changed.snakemake()
    for name in ("runs", "results", "manifests"):
        shutil.rmtree(changed.folder / name)
        shutil.copytree(other.folder / name, changed.folder / name)
    assert strength(changed) == 10
    assert {"distill"} <= set(changed.dry_run())


@pytest.mark.exhaustive
def test_a_stage_checks_what_a_users_profile_left_stale(changed: Project, tmp_path: Path) -> None:
    profile = tmp_path / "mine"
    profile.mkdir()
    (profile / "config.yaml").write_text("cores: 2\nrerun-triggers: mtime\n")
    done = subprocess.run(
        ["dvc", "repro"],
        cwd=changed.folder,
        env=changed.environment() | {"SNAKEMAKE_PROFILE": str(profile)},
        capture_output=True,
        text=True,
    )
    assert done.returncode
    assert "was made by another configuration or other code" in done.stderr
    assert b"lambda0: 3" not in lock(changed).partition(b"  distill:")[2]


@pytest.mark.parametrize("broken", [pytest.param(".git", marks=pytest.mark.exhaustive), "cache"])
def test_what_keeps_dvc_from_recording_is_named(project: Project, broken: str, tmp_path: Path) -> None:
    if broken == ".git":
        (project.folder / ".git").rename(tmp_path / "git")
    else:
        (tmp_path / "a file").write_text("")
        (project.folder / ".dvc/config.local").write_text(f"[cache]\n    dir = {tmp_path / 'a file'}\n")
    refusal = project.run("python", "-m", "vlkd_steps.graph.commit", status=2)
    assert "not recorded in DVC" in refusal
    assert ("git init" if broken == ".git" else f"{tmp_path / 'a file'} is no folder") in refusal
    assert "python -m vlkd_steps.graph.commit" in refusal
