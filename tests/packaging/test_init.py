"""``vlkd init``: its refusals, and a project that runs with the installed package alone."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
import yaml
from packaging_environment import environment, install, virtual_environment

from vlkd_steps.cli import init
from vlkd_steps.config import composition, members
from vlkd_steps.graph import installed_code


@pytest.fixture
def installed(wheel: Path, tmp_path: Path) -> Path:
    """The wheel beside the packages of this environment; vlkd, snakemake and dvc are on its PATH."""
    venv = virtual_environment(tmp_path / "venv")
    [site] = venv.glob("lib/python*/site-packages")
    (site / "shared.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
    install(venv, "--no-deps", "--no-index", str(wheel))
    for name in ("snakemake", "dvc"):
        script = (Path(sys.executable).parent / name).read_text().splitlines(keepends=True)
        (venv / "bin" / name).write_text("".join([f"#!{venv / 'bin/python'}\n", *script[1:]]))
        (venv / "bin" / name).chmod(0o755)
    return venv


def run(installed: Path, folder: Path, *command: str) -> str:
    variables = environment(installed) | {
        "OMP_NUM_THREADS": "1",
        **{f"GIT_{who}_{key}": "x@y" for who in ("AUTHOR", "COMMITTER") for key in ("NAME", "EMAIL")},
    }
    done = subprocess.run(
        command, cwd=folder, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert done.returncode == 0, f"{command}:\n{done.stdout}"
    return done.stdout


@pytest.fixture
def project(installed: Path, tmp_path: Path) -> Path:
    """A project of the installed package, committed, with 2 runs of the preset's 12."""
    run(installed, tmp_path, "vlkd", "init", "mine")
    folder = tmp_path / "mine"
    params = yaml.safe_load((folder / "params.yaml").read_text())
    assert params["experiment"] == "scenes_smoke"
    params["grid"] = {"dataset": ["scenes_smoke_vqa"], "variant": ["finetune", "clip_td"], "seed": [1]}
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    run(installed, folder, "git", "add", "--all")
    run(installed, folder, "git", "commit", "--quiet", "--message", "begin")
    return folder


@pytest.mark.slow
def test_a_project_of_the_installed_package_prepares_its_data(installed: Path, project: Path) -> None:
    run(installed, project, "snakemake", "--cores", "2", "--", "all_prepare")
    assert (project / "data/instances/scenes_smoke_vqa.parquet").is_file()
    assert not (project / "vlkd_steps").exists()
    assert str(installed) in run(installed, project, "vlkd", "--version")
    assert "Nothing to be done" in run(installed, project, "snakemake", "-n", "--cores", "2", "--", "all_prepare")


@pytest.mark.slow
@pytest.mark.exhaustive
def test_a_project_of_the_installed_package_runs_and_dvc_has_nothing_to_do(installed: Path, project: Path) -> None:
    run(installed, project, "snakemake", "--cores", "2")
    assert (project / "results/scenes_smoke/summary.csv").is_file()
    said = run(installed, project, "dvc", "repro")
    assert "Stage 'compare' didn't change, skipping" in said
    assert "snakemake" not in said
    assert "nothing to do" in run(installed, project, "vlkd", "sync")
    # Another version of the package is seen by DVC.
    [package] = installed.glob("lib/python*/site-packages/vlkd_steps")
    with (package / "methods/objective.py").open("a") as stream:
        stream.write("# another version\n")
    run(installed, project, "python", "-m", "vlkd_steps.graph.installed_code")
    assert "vlkd_steps.txt" in run(installed, project, "dvc", "status")


def test_every_file_of_a_project_is_written(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    folder = tmp_path / "new" / "mon projet"
    assert init.main([str(folder), "--no-git"]) == 0
    assert f"cd '{folder}' && vlkd run" in capsys.readouterr().out
    assert (folder / "slurm/config.yaml").is_file()
    assert os.access(folder / "workflow/bin/login/sbatch", os.X_OK)
    stages = yaml.safe_load((folder / "dvc.yaml").read_text())["stages"]
    file = str(installed_code.FILE)
    assert [file] == [next(iter(out)) for out in stages["installed_code"]["outs"]]
    phases = [stage for stage in stages.values() if "Snakefile" in stage.get("deps", [])]
    assert phases
    for stage in phases:
        assert file in stage["deps"]
        assert "vlkd_steps" not in stage["deps"]
        assert "conf" in stage["deps"]
    assert composition.read_params(folder / "params.yaml").conf == ("conf",)
    named = (folder / "conf/README.md").read_text()
    assert all(f"`{group}/" in named for group in (*members.GROUPS, "experiment", "claims"))
    assert not (folder / ".git").exists()


def test_a_folder_with_files_is_refused_and_unchanged(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    assert init.main([str(tmp_path)]) == 2
    assert "thesis.tex" in capsys.readouterr().err
    assert init.main([str(tmp_path / "thesis.tex")]) == 2
    assert "thesis.tex is a file" in capsys.readouterr().err
    assert init.main([str(tmp_path / os.fsdecode(b"caf\xe9"))]) == 2
    assert "caf\\xe9' is not UTF-8" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("there", [".", "made"])
def test_what_could_not_be_written_whole_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, there: str
) -> None:
    def full(source: Path, target: Path, **_: object) -> None:
        raise shutil.Error([(str(source), str(target), "[Errno 28] No space left on device")])

    before, folder = tmp_path / there, tmp_path / "made" if there == "made" else tmp_path / "new/mine"
    before.mkdir(exist_ok=True)
    with monkeypatch.context() as disk:
        disk.setattr(shutil, "copytree", full)
        assert init.main([str(folder), "--no-git"]) == 2
    said = capsys.readouterr().err
    assert f"{folder}/profiles/default cannot be written ([Errno 28] No space left on device)" in said
    assert not list(before.iterdir())
    assert init.main([str(folder), "--no-git"]) == 0


@pytest.mark.parametrize("name", ["new/mine", "link"])
def test_what_others_made_meanwhile_stays(tmp_path: Path, name: str) -> None:
    (tmp_path / "link").symlink_to("nowhere")

    def fail() -> None:
        with init.removed_unless_whole(tmp_path / name):
            (tmp_path / name).mkdir(parents=True)
            (tmp_path / "new/others").mkdir()
            raise FileNotFoundError

    with pytest.raises(OSError):  # noqa: PT011 - of the link, that it exists
        fail()
    assert (tmp_path / "link").is_symlink()
    assert sorted(path.name for path in tmp_path.glob("new/*")) == (["others"] if name == "new/mine" else [])


def test_inside_a_repository_it_becomes_a_part_of_it(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    assert init.main([str(tmp_path / "part")]) == 0
    assert not (tmp_path / "part/.git").exists()
    assert (tmp_path / "part/.dvc/config").is_file()


def test_the_code_file_is_kept_current_where_there_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    installed_code.keep_current()
    assert not installed_code.FILE.exists()
    installed_code.FILE.write_text("vlkd-steps 0.0\n")
    installed_code.keep_current()
    assert installed_code.FILE.read_text() == installed_code.text()
