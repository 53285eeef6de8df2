"""Make a project in a new or empty folder: the files that you edit, and those that snakemake and dvc read.

    vlkd init my_project && cd my_project
    vlkd run

The code stays in the installed package. The project starts with the preset scenes_smoke, which takes about a minute;
params.yaml explains the next steps. The folder becomes a git and DVC repository, or a part of the one around it, unless
you pass --no-git. A folder that already has files is refused.
"""

import contextlib
import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from vlkd_steps.cli import command
from vlkd_steps.config import composition
from vlkd_steps.core import files, layout, project_files
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.terminal import say
from vlkd_steps.graph import dvc_vars, installed_code

PARAMS = """\
# The one file to edit. `snakemake -n` shows what a change would run; a wrong key is reported before anything runs.

experiment: scenes_smoke      # a preset: the whole graph in a minute, with meaningless numbers; continue with scenes
conf: [conf]                  # presets and data sets of your own: conf/experiment/mine.yaml, conf/dataset/pets.yaml

grid:                         # every combination is one run; a missing list is the preset's, {} its whole grid
  dataset: [scenes_smoke_vqa, scenes_smoke_ve]

overrides:                    # keys of the composed configuration, nested or dotted; `preset` changes nothing
  training: {steps: preset, batch_size: preset}
  variants: {clip_td: {lambda0: preset}}
"""
CONF = """\
# Files of your own

`dataset/NAME.yaml` and `source/NAME.yaml` (`vlkd init-data` writes them), `experiment/NAME.yaml` (a preset),
`claims/NAME.yaml` (a list of claims that presets extend), and files in `student/`, `teacher/`, `method/`; make the
folders that you need. A file here replaces the package's of the same name, and may extend it.
"""
CODE_STAGE = f"""\
stages:
  installed_code:
    cmd: env PYTHONSAFEPATH= PYTHONPATH=. python -m vlkd_steps.graph.installed_code
    always_changed: true
    outs:
      - {installed_code.FILE}: {{cache: false, persist: true}}
"""


@command.single("init", __doc__)
def main(
    folder: Annotated[Path, Argument(help="made if it does not exist", show_default=False)],
    git: Annotated[bool, Option("--git/--no-git", help="make it a git and DVC repository")] = True,
) -> None:
    if folder.is_dir() and any(folder.iterdir()):
        first = min(path.name for path in folder.iterdir())
        raise UserError(f"{folder} is not empty (it has {first}); name a new folder")
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file; name a new folder")
    if not files.is_utf8(str(folder.absolute())):
        raise UserError(f"the path {os.fsencode(folder.absolute())!r} is not UTF-8; name another folder")
    try:
        with removed_unless_whole(folder):
            folder.mkdir(parents=True, exist_ok=True)
            problem = version(folder) if git else ""  # first: DVC makes no repository in a folder that has .dvc
            write(folder)
    except OSError as error:
        path, why = error.filename or folder, error.strerror
        if isinstance(error, shutil.Error):  # of several files: [(source, target, why)]
            _, path, why = error.args[0][0]
        raise UserError(f"{path} cannot be written ({why}); name another folder") from error
    if problem:
        raise UserError(f"{folder} is a project now, but not versioned: {problem}")
    say(f"{folder} is a project now; continue with: cd {shlex.quote(str(folder))} && vlkd run")


@contextlib.contextmanager
def removed_unless_whole(folder: Path) -> Iterator[None]:
    """Remove what the block has made in a new or empty folder, if it fails: the command can be given again."""
    new = [each for each in (folder, *folder.parents) if not os.path.lexists(each)]
    try:
        yield
    except BaseException:
        for path in new[:1] or (list(folder.iterdir()) if folder.is_dir() else []):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        for parent in new[1:]:
            with contextlib.suppress(OSError):  # somebody else's project is in it by now
                parent.rmdir()
        raise


def write(folder: Path) -> None:
    """All files of a project."""
    for name in project_files.NAMES:
        source, target = project_files.FOLDER / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, target)
    (folder / "slurm").symlink_to("profiles/slurm")
    files.write_text(folder / "conf" / "README.md", CONF)
    files.write_text(folder / "params.yaml", PARAMS)
    files.write_text(folder / layout.DVC_VARS, dvc_vars.text(composition.compose(folder / "params.yaml")))
    files.write_text(folder / "dvc.yaml", dvc_yaml((folder / "dvc.yaml").read_text(encoding="utf-8")))
    files.write_text(folder / installed_code.FILE, installed_code.text())


def dvc_yaml(of_clone: str) -> str:
    """dvc.yaml with the installed package instead of a clone's folder."""
    return of_clone.replace("stages:\n", CODE_STAGE, 1).replace(
        "- vlkd_steps\n", f"- {installed_code.FILE}\n      - conf\n"
    )


def version(folder: Path) -> str:
    """Make the folder a git and DVC repository; returns why that failed and what to do, or nothing."""
    if shutil.which("git") is None or importlib.util.find_spec("dvc") is None:
        return "git or dvc is not installed; install them, then there: git init && dvc init (or now: --no-git)"
    inside = not subprocess.run(["git", "rev-parse"], cwd=folder, capture_output=True).returncode
    dvc = [sys.executable, "-m", "dvc", "init", *(["--subdir"] if inside else [])]
    for words in [dvc] if inside else [["git", "init"], dvc]:
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True, errors="replace")
        if done.returncode:
            return f"`{' '.join(words)}` fails: {' '.join((done.stdout + done.stderr).split())[-500:]}"
    return ""


if __name__ == "__main__":
    raise SystemExit(main())
