"""snakemake and dvc repro are two entry points to one graph: the same jobs, the same bytes, agreement after each.

Every test starts from a copy of one finished project: data of one's own in data/incoming, one shot, one seed, two
methods. Nothing is mocked.
"""

import json
import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import ordinary_user
import pytest
import yaml
from own_data import PARAMS, hashes, start
from pipeline_project import Project, finished, planned

from vlkd_steps.config.phases import PHASES

# What a change in one method reaches, and no more.
ONE_METHOD = Counter(distill=1, evaluate=1, manifest_distill=1, compare=1, report=1, manifest_compare=1)


def nothing_to_do(project: Project) -> None:
    """Both entry points find everything up to date."""
    assert project.dry_run() == Counter()
    assert "up to date" in project.dvc("status")


def edit(project: Project, old: str, new: str, file: str = "vlkd_steps/methods/clip_td/objective.py") -> Path:
    path = project.folder / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    return path


@pytest.fixture
def project(finished_project: Project, tmp_path: Path) -> Project:
    return finished_project.copy(tmp_path / "project")


pytestmark = pytest.mark.slow


def test_after_snakemake_both_entry_points_have_nothing_to_do(project: Project) -> None:
    nothing_to_do(project)
    before = hashes(project)
    assert "runs/scenes_smoke/mine/vilt_scenes/clip_td/20/s1/model.safetensors" in before
    output = project.dvc("repro")
    assert "Running stage" not in output
    assert finished(output) == Counter()
    assert hashes(project) == before


def test_each_stage_watches_every_phase_that_its_rules_read(project: Project) -> None:
    manifests = {phase: project.folder / f"manifests/scenes_smoke/{phase}.json" for phase in PHASES}
    made = {file: phase for phase, path in manifests.items() for file in json.loads(path.read_text())["files"]}
    stages = yaml.safe_load((project.folder / "dvc.yaml").read_text())["stages"]
    jobs = re.findall(r"rule (\w+):\n    input: (.*)$", project.snakemake("-n", "--forceall"), re.M)
    for phase, described in PHASES.items():
        read = {made.get(file) for rule, files in jobs if rule in described.rules for file in files.split(", ")}
        deps = stages[phase]["deps"]
        assert {f"manifests/${{experiment}}/{other}.json" for other in read - {phase, None}} <= set(deps), phase


@pytest.mark.exhaustive  # tests/slurm does the same with the profile slurm
def test_dvc_repro_from_nothing_makes_the_same_bytes(finished_project: Project, new_project) -> None:
    project = start(new_project("dvc"))
    project.dvc("repro")
    assert hashes(project) == hashes(finished_project)
    nothing_to_do(project)


@pytest.mark.exhaustive  # test_fingerprint.py shows that it changes no rule's params
def test_a_comment_runs_no_job(project: Project) -> None:
    edit(project, "class ClipTD", "# a remark\nclass ClipTD")
    before = hashes(project)
    assert project.dry_run() == Counter()
    assert finished(project.dvc("repro")) == Counter()
    assert hashes(project) == before
    nothing_to_do(project)


def test_a_change_in_one_method_reaches_only_its_runs(project: Project) -> None:
    before = hashes(project)
    path = edit(project, "layer_norm(image[rows] + ", "layer_norm(2 * image[rows] + ")
    os.utime(path, (1e9, 1e9))  # whatever its time says

    assert project.dry_run() == ONE_METHOD
    output = project.snakemake()
    assert planned(output) == finished(output) == ONE_METHOD
    after = hashes(project)
    changed = {path for path in after if path.startswith("runs/") and after[path] != before[path]}
    assert {path.split("/")[4] for path in changed} == {"clip_td"}
    nothing_to_do(project)


@pytest.mark.exhaustive
def test_a_changed_parameter_reaches_the_same_runs_by_dvc(project: Project, tmp_path: Path) -> None:
    project.params(overrides={**PARAMS["overrides"], "variants.clip_td.lambda0": 2})
    other = project.copy(tmp_path / "other")
    output = project.snakemake()
    assert planned(output) == finished(output) == ONE_METHOD
    assert not finished(other.dvc("repro")) - ONE_METHOD  # those or fewer
    assert hashes(other) == hashes(project)
    nothing_to_do(other)


@pytest.mark.exhaustive
def test_a_changed_data_file_reaches_everything_made_from_it(project: Project, tmp_path: Path) -> None:
    questions = project.folder / "data/incoming/mine/vqa/train_questions.json"
    questions.write_text(questions.read_text().replace("the ", "that ", 40))
    other = project.copy(tmp_path / "other")

    expected = project.dry_run()
    assert {"download", "prepare", "split_train", "extract", "distill", "evaluate", "compare", "report"} <= set(
        expected
    )
    output = project.snakemake()
    assert finished(output) == expected
    nothing_to_do(project)

    assert not finished(other.dvc("repro")) - expected
    assert hashes(other) == hashes(project)
    nothing_to_do(other)


def test_data_changed_behind_the_pipelines_back_is_never_recorded(project: Project) -> None:
    picture = sorted(project.folder.glob("data/raw/mine/images/train/*.png"))[0]
    picture.unlink()
    picture.write_bytes(b"not the picture that was downloaded")
    output = project.dvc("repro", status=None)
    assert "was changed after it was made" in output
    assert "dvc checkout" in output


def test_a_fresh_clone_pulls_syncs_and_has_nothing_to_do(project: Project, tmp_path: Path) -> None:
    remote = tmp_path / "remote"
    project.dvc("remote", "add", "--default", "store", str(remote))
    project.commit("Results")
    project.dvc("push")
    project.run("git", "clone", "--quiet", str(project.folder), str(tmp_path / "clone"))
    clone = Project(tmp_path / "clone")

    refusal = clone.run("python", "-m", "vlkd_steps.graph.sync", status=2)
    assert "phase download is not what dvc.lock says" in refusal
    assert "run: dvc pull" in refusal  # not: run everything
    clone.dvc("pull")
    clone.run("python", "-m", "vlkd_steps.graph.sync")
    run = "runs/scenes_smoke/mine/vilt_scenes/clip_td/20/s1"
    said = clone.run("python", "-m", "vlkd_steps", "verify", run)
    assert f"equal: {run}" in said
    assert "6 files have equal bytes" in said
    assert "changed since" not in said
    nothing_to_do(clone)
    assert hashes(clone) == hashes(project)
    # And neither is blind to later changes.
    edit(clone, "layer_norm(image[rows] + ", "layer_norm(2 * image[rows] + ")
    assert clone.dry_run() == ONE_METHOD


@pytest.mark.exhaustive
def test_another_commit(project: Project) -> None:
    first = hashes(project)
    project.params(overrides={**PARAMS["overrides"], "variants.clip_td.lambda0": 2})
    project.snakemake()
    project.commit("Two")
    second = hashes(project)

    project.run("git", "checkout", "--quiet", "HEAD~1")
    refusal = project.run("python", "-m", "vlkd_steps.graph.sync", status=2)
    assert "phase distill is not what dvc.lock says" in refusal
    assert "runs/scenes_smoke (modified); run: dvc checkout" in refusal
    assert project.dry_run() == ONE_METHOD  # not recorded as made

    project.dvc("checkout")
    project.run("python", "-m", "vlkd_steps.graph.sync")
    assert hashes(project) == first
    nothing_to_do(project)

    project.run("git", "checkout", "--quiet", "main")
    project.dvc("checkout")
    project.run("python", "-m", "vlkd_steps.graph.sync")
    assert hashes(project) == second
    nothing_to_do(project)


def test_sync_blesses_nothing_that_is_stale(project: Project) -> None:
    project.params(overrides={**PARAMS["overrides"], "variants.clip_td.lambda0": 2})
    refusal = project.run("python", "-m", "vlkd_steps.graph.sync", status=2)
    assert "params.yaml: overrides (modified)" in refusal
    assert project.dry_run() == ONE_METHOD


@pytest.mark.exhaustive
def test_sync_writes_an_outdated_list_of_data_sets(project: Project) -> None:
    path = project.folder / "dvc_vars.yaml"
    lists = path.read_text()
    path.write_text(lists.replace('dataset: ["mine"]', 'dataset: ["mine", "others"]'))  # as after a merge
    assert path.read_text() != lists
    assert "updated dvc_vars.yaml to match params.yaml" in project.run("python", "-m", "vlkd_steps.graph.sync")
    assert path.read_text() == lists


@pytest.mark.exhaustive
def test_another_experiment_leaves_this_one_clean(project: Project) -> None:
    project.snakemake(
        "--config", "experiment=scenes_pretrained", "--", "data/raw/scenes_smoke/manifest.json", status=None
    )
    project.snakemake("--config", "experiment=scenes_smoke", "--", "all_split", status=None)
    nothing_to_do(project)


@pytest.mark.exhaustive
def test_the_demo_ends_well_where_mlflow_cannot_be_written_and_reports_it(project: Project) -> None:
    database = project.folder / "mlflow.db"
    database.write_bytes(b"not a database at all" * 100)
    said = project.run("python", "-m", "vlkd_steps", "run").splitlines()
    assert any("look at   results/scenes_smoke/report.html" in line for line in said)
    assert said[-1].startswith("The runs are not in MLflow: ")
    assert "vlkd track --rebuild" in said[-1]
    project.run("python", "-m", "vlkd_steps.cli.track", "--rebuild")
    assert (project.folder / "mlflow.db.backup-1").read_bytes() == b"not a database at all" * 100
    assert "not in MLflow" not in project.run("python", "-m", "vlkd_steps", "run")
    assert "backup" not in project.run("git", "status", "--porcelain")


@pytest.mark.exhaustive
def test_recorded_folders_on_another_disk(project: Project, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    linked = [Path("runs/scenes_smoke"), Path("features/clip_scenes/mine")]
    for number, name in enumerate(linked):
        (project.folder / name).rename(disk / str(number))
        (project.folder / name).symlink_to(disk / str(number))
    nothing_to_do(project)
    project.params(overrides={**PARAMS["overrides"], "training.steps": 7})
    project.snakemake("--forcerun", "extract")
    project.run("python", "-m", "vlkd_steps.graph.commit")  # not of itself after a run with --forcerun
    nothing_to_do(project)
    for number, name in enumerate(linked):
        assert (project.folder / name).readlink() == disk / str(number)
    metrics = next((disk / "0").rglob("metrics.json"))
    content = metrics.read_bytes()
    metrics.unlink()
    project.dvc("checkout")
    assert metrics.read_bytes() == content
    assert project.run("git", "status", "--porcelain").split() == ["M", "dvc.lock", "M", "params.yaml"]


@pytest.fixture
def theirs(finished_project: Project) -> Iterator[Project]:
    """A copy that an ordinary user owns."""
    with ordinary_user.reachable() as folder:
        copy = finished_project.copy(folder / "project")
        copy.environment()  # makes its home directory
        ordinary_user.give(folder)
        yield copy


@pytest.mark.exhaustive
def test_links_into_dvcs_cache_are_made_again_by_an_ordinary_user(theirs: Project) -> None:
    project, user = theirs, ordinary_user.command()
    project.run(*user, "dvc", "config", "cache.type", "hardlink,copy")
    project.run(*user, "dvc", "checkout", "--relink")
    gains = project.folder / "results/scenes_smoke/gains.csv"
    assert (gains.stat().st_mode & 0o777, gains.stat().st_nlink) == (0o444, 2)
    cached = {path: path.read_bytes() for path in (project.folder / ".dvc/cache").rglob("*") if path.is_file()}

    project.params(overrides={**PARAMS["overrides"], "training.steps": 7})
    assert finished(project.run(*user, "snakemake", "--cores", "2"))["report"] == 1
    assert {path: path.read_bytes() for path in cached} == cached
    assert "up to date" in project.run(*user, "dvc", "status")

    project.run(*user, "dvc", "checkout", "--relink")
    project.run("chmod", "-R", "a-w", "data/raw")
    assert "nothing to do" in project.run(*user, "python", "-m", "vlkd_steps.graph.sync")
    assert planned(project.run(*user, "snakemake", "--cores", "2", "-n")) == Counter()
    said = project.run(*user, "snakemake", "--cores", "2", "--forcerun", "download", status=1)
    assert "chmod u+w data/raw/mine" in said
    project.run("chmod", "-R", "u+w", "data/raw")


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file away")
@pytest.mark.exhaustive
def test_sync_names_the_files_of_another_user_and_keeps_them(theirs: Project) -> None:
    project = theirs
    manifest = project.folder / "data/raw/mine/manifest.json"
    os.chown(manifest, 0, 0)
    content = manifest.read_bytes()
    said = project.run(*ordinary_user.command(), "python", "-m", "vlkd_steps.graph.sync", status=2)
    assert said.startswith("error: ")
    assert "data/raw/mine/manifest.json cannot be touched by this user (owner: uid 0)" in said
    assert "Traceback" not in said
    assert manifest.read_bytes() == content
