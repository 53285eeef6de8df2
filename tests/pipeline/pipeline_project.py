"""A copy of the project in a folder of its own, driven by the real snakemake, dvc and git."""

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import yaml


@dataclass
class Project:
    """A checkout to run commands in."""

    folder: Path

    def run(self, *command: str, status: int | None = 0) -> str:
        """Run a command in the project; returns stdout and stderr together. `status` None accepts any."""
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if status is not None:
            assert done.returncode == status, f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}"
        return done.stdout

    def environment(self) -> dict[str, str]:
        home = self.folder.parent / "home"
        home.mkdir(exist_ok=True)
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("DVC_", "MLFLOW_", "SNAKEMAKE_"))
        }
        author = {"NAME": "A Tester", "EMAIL": "tester@example.org"}
        return kept | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(home),
            "DVC_NO_ANALYTICS": "1",
            "OMP_NUM_THREADS": "1",
            **{f"GIT_{who}_{key}": value for who in ("AUTHOR", "COMMITTER") for key, value in author.items()},
        }

    def snakemake(self, *arguments: str, status: int | None = 0) -> str:
        return self.run("snakemake", "--cores", "2", *arguments, status=status)

    def dry_run(self, *arguments: str) -> Counter[str]:
        """The jobs that ``snakemake -n`` names, per rule."""
        return planned(self.snakemake("-n", *arguments))

    def dvc(self, *arguments: str, status: int | None = 0) -> str:
        return self.run("dvc", *arguments, status=status)

    def params(self, **changes: object) -> None:
        """Change top-level keys of params.yaml."""
        path = self.folder / "params.yaml"
        path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **changes}, sort_keys=False))

    def commit(self, message: str) -> None:
        self.run("git", "add", "--all")
        self.run("git", "commit", "--quiet", "--message", message)

    def copy(self, folder: Path) -> "Project":
        """The same files with the same times, in another folder."""
        shutil.copytree(self.folder, folder, symlinks=True)
        return Project(folder)


def planned(output: str) -> Counter[str]:
    """The job table that snakemake prints, without its `all` targets."""
    table = re.search(r"Job stats:\n.*?\n-+.*?\n(.*?)\ntotal", output, re.S)
    rows = [line.split() for line in table.group(1).splitlines()] if table else []
    return Counter({rule: int(count) for rule, count in rows if not rule.startswith("all")})


def finished(output: str) -> Counter[str]:
    """The jobs that a real run ended, per rule."""
    return Counter(rule for rule in re.findall(r"\(Rule: (\w+)\)", output) if not rule.startswith("all"))


def checkout(root: Path, folder: Path) -> Project:
    """Copy the working tree (what git tracks or would track) and make it a repository of its own."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        capture_output=True,
        check=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (root / name).is_file() and name != "dvc.lock":
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, folder / name)
        elif (root / name).is_symlink():
            (folder / name).symlink_to((root / name).readlink())
    project = Project(folder)
    project.run("git", "init", "--quiet", "--initial-branch", "main")
    return project
