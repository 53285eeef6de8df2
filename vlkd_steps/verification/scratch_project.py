"""A folder in which a run is repeated: it links to the project's files and has its own ``runs/``.

Paths are relative to the current folder (`core.layout`), so a step that starts in it reads the project's
data, features and models and writes nothing to the project.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from vlkd_steps.core import environment, files
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.interruption import StopRequest

OWN = ("runs", "jobs", "logs", "results", "manifests", "vlkd_steps")
"""Folders of a project that are not linked: outputs, and the package, which is imported from elsewhere."""
PATIENCE = 30.0  # seconds that training may take to end after TERM


@contextlib.contextmanager
def scratch_project(project: Path, own: str, keep: Path | None = None) -> Iterator[Path]:
    """Make the folder for the block, and remove it afterwards.

    Args:
        own: the folder that is written to instead of linked: ``runs`` or ``models``.
        keep: make it here instead of below the system's temporary folder (TMPDIR), and keep it.

    Raises:
        UserError: `keep` exists or is inside the project, or no folder can be made.
    """
    folder = None
    try:
        folder = _new(project, keep)
        for path in sorted(project.iterdir()):
            if path.name not in (*OWN, own) and not path.name.startswith("."):
                (folder / path.name).symlink_to(path.absolute())
        yield folder
    finally:
        if folder is not None and keep is None:
            shutil.rmtree(folder, ignore_errors=True)


def _new(project: Path, keep: Path | None) -> Path:
    if keep is None:
        return Path(tempfile.mkdtemp(prefix="vlkd-verify-"))
    if keep.exists() or keep.absolute().is_relative_to(project.absolute()):
        raise UserError(f"--keep {keep}: name a folder that does not exist yet, outside the project")
    try:
        keep.mkdir(parents=True)
    except OSError as error:
        raise UserError(f"--keep {keep} cannot be made: {error.strerror}; name another folder") from error
    return keep


def link(project: Path, scratch: Path, path: Path) -> None:
    """Link another file or folder of the project, such as the run that this one starts from."""
    (scratch / path).parent.mkdir(parents=True, exist_ok=True)
    (scratch / path).symlink_to((project / path).absolute())


def run_step(scratch: Path, step: str, config: Mapping[str, Any], stop: StopRequest) -> int:
    """Run a step of the graph there in a subprocess, and return its status; its log goes to the terminal.

    Raises:
        Interrupted: a signal came; the subprocess has ended.
    """
    files.write_json(scratch / "jobs" / f"{step}.json", config)
    command = [sys.executable, "-m", f"vlkd_steps.steps.{step}", "--config", f"@jobs/{step}.json"]
    # In a new session Ctrl-C reaches only this process, which then ends the subprocess and its children.
    child = subprocess.Popen(command, cwd=scratch, env=_environment(), start_new_session=True)
    try:
        while child.poll() is None:
            stop.raise_if_set()
            time.sleep(0.1)
    finally:
        _end(child)
    return child.returncode


def _environment() -> dict[str, str]:
    """This process's environment, with the same package; without a launcher or lasting copies on the node's disk."""
    given = {name: value for name, value in os.environ.items() if name not in ("VLKD_LAUNCHER", "VLKD_SCRATCH")}
    environment.use_own(given)
    return given


def _end(child: "subprocess.Popen[bytes]") -> None:
    """Terminate a process and its children, and kill them after `PATIENCE`."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if child.poll() is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(PATIENCE)
