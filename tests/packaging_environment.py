"""Virtual environments into which a test installs the wheel."""

import os
import subprocess
import sys
from pathlib import Path


def environment(folder: Path) -> dict[str, str]:
    """A shell in which a virtual environment is active, and nothing of this process's Python."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "SNAKEMAKE_", "MLFLOW_"))
    }
    return kept | {"PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}", "DVC_NO_ANALYTICS": "1"}


def virtual_environment(folder: Path) -> Path:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    return folder


def install(folder: Path, *arguments: str) -> None:
    command = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(folder / "bin/python"),
        "install",
        "--quiet",
        "--no-compile",
    ]
    subprocess.run([*command, *arguments], check=True, env=environment(folder))
