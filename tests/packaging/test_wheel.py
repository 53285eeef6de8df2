"""The built wheel in an environment that has only what the wheel asks for, which is no torch."""

import json
import re
import subprocess
import zipfile
from pathlib import Path

import pytest
from packaging_environment import environment, install, virtual_environment

from vlkd_steps.core import project_files


@pytest.fixture(scope="module")
def bare(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = virtual_environment(tmp_path_factory.mktemp("bare") / "venv")
    install(folder, str(wheel))
    return folder


def run(venv: Path, folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, env=environment(venv), capture_output=True, text=True, check=False)


def test_the_wheel_holds_every_file_of_the_package_and_of_a_project(wheel: Path, root: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
    listed = subprocess.run(["git", "ls-files", "vlkd_steps"], cwd=root, capture_output=True, text=True, check=True)
    assert {name for name in listed.stdout.split() if (root / name).exists()} <= entries.keys()
    for name in project_files.NAMES:
        assert any(entry.startswith(f"vlkd_steps/project/{name}") for entry in entries), name
    assert entries["vlkd_steps/project/workflow/bin/login/sbatch"].external_attr >> 16 & 0o100
    assert not any(entry.startswith(("tests/", "benchmarks/", "build/")) for entry in entries)


@pytest.mark.slow
def test_scores_and_shifts_without_torch(bare: Path, root: Path, tmp_path: Path) -> None:
    assert run(bare, tmp_path, "python", "-c", "import torch").returncode == 1
    text = (root / "docs/score.md").read_text(encoding="utf-8")
    for name, content in re.findall(r"^`([\w.]+)`:\n\n```(?:json|csv)\n(.*?)```", text, re.M | re.S):
        (tmp_path / name).write_text(content, encoding="utf-8")
    files = ["--questions", "questions.json", "--annotations", "annotations.json"]
    done = run(bare, tmp_path, "vlkd", "score", "vqa", *files, "--results", "results.json")
    assert (done.returncode, done.stderr) == (0, "")
    assert "overall   95.00" in done.stdout
    done = run(
        bare,
        tmp_path,
        "vlkd",
        "shift",
        "vqa",
        "--rule",
        "changing_priors",
        "--test-share",
        "0.5",
        *files,
        "--out",
        "shifted",
    )
    assert done.returncode == 0, done.stderr
    parts = [json.loads((tmp_path / f"shifted/{part}_questions.json").read_text()) for part in ("train", "test")]
    assert sum(len(part["questions"]) for part in parts) == 2


@pytest.mark.slow
def test_a_project_composes_and_what_needs_the_pipeline_says_how_to_install_it(bare: Path, tmp_path: Path) -> None:
    made = run(bare, tmp_path, "vlkd", "init", "mine", "--no-git")
    assert made.returncode == 0, made.stderr
    code = "from vlkd_steps.config import composition; print(composition.compose(experiment='paper_vcr').experiment)"
    done = run(bare, tmp_path / "mine", "python", "-c", code)
    assert (done.stdout, done.stderr) == ("paper_vcr\n", "")
    done = run(bare, tmp_path / "mine", "vlkd", "run")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "snakemake" in done.stderr
    assert "vlkd-steps[pipeline]" in done.stderr
    done = run(bare, tmp_path, "vlkd", "--version")
    assert str(bare) in done.stdout


@pytest.mark.slow
def test_an_installed_package_is_found_without_pythonpath(bare: Path, tmp_path: Path) -> None:
    code = (
        "from vlkd_steps.core import environment as e\n"
        "print(e.own_package({'PYTHONPATH': '/x'}), e.own_package({}), 'export PYTHONPATH' in e.shell_prefix(True))"
    )
    done = run(bare, tmp_path, "python", "-c", code)
    assert done.stdout == "{'PYTHONPATH': '/x'} {} False\n", done.stderr


@pytest.mark.slow
def test_in_a_project_with_its_own_package_vlkd_runs_that(bare: Path, tmp_path: Path) -> None:
    (tmp_path / "vlkd_steps/cli").mkdir(parents=True)
    for name, content in {"__init__": "", "__main__": "import sys; print('own', sys.argv[1:])", "cli/main": ""}.items():
        (tmp_path / f"vlkd_steps/{name}.py").write_text(content)
    assert str(bare) in run(bare, tmp_path, "vlkd", "--version").stdout  # not a project
    (tmp_path / "Snakefile").touch()
    assert run(bare, tmp_path, "vlkd", "--version").stdout == "own ['--version']\n"
