"""A folder in which a run is trained again: it sees the project's files by links and has a ``runs/`` of its own.

Paths are relative to the current folder (`core.layout`), so a step whose current folder this is reads the project's
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
"""Folders of a project that a scratch project does not link: written to, or the package, which is found elsewhere."""
PATIENCE = 30.0  # seconds that a training may take to end after TERM


@contextlib.contextmanager
def scratch_project(project: Path, own: str, keep: Path | None = None) -> Iterator[Path]:
    """Make the folder, and remove it at the end of the block, however that ends.

    Args:
        own: a further folder that it has for itself, in which it is written: ``runs`` or ``models``.
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
        raise UserError(f"--keep {keep}: name a folder that is not there yet, outside the project")
    try:
        keep.mkdir(parents=True)
    except OSError as error:
        raise UserError(f"--keep {keep} cannot be made: {error.strerror}; name another folder") from error
    return keep


def link(project: Path, scratch: Path, path: Path) -> None:
    """Show a further file or folder of the project, such as the run that another starts from."""
    (scratch / path).parent.mkdir(parents=True, exist_ok=True)
    (scratch / path).symlink_to((project / path).absolute())


def run_step(scratch: Path, step: str, config: Mapping[str, Any], stop: StopRequest) -> int:
    """Run a step of the graph there, in a process of its own, and return its status; its log goes to the terminal.

    Raises:
        Interrupted: a signal came; the process has ended.
    """
    files.write_json(scratch / "jobs" / f"{step}.json", config)
    command = [sys.executable, "-m", f"vlkd_steps.steps.{step}", "--config", f"@jobs/{step}.json"]
    # A session of its own: Ctrl-C reaches this process alone, which ends all of the other's.
    child = subprocess.Popen(command, cwd=scratch, env=_environment(), start_new_session=True)
    try:
        while child.poll() is None:
            stop.raise_if_set()
            time.sleep(0.1)
    finally:
        _end(child)
    return child.returncode


def _environment() -> dict[str, str]:
    """This process's, by which the same package is found; no launcher, and no copies on the node's disk that stay."""
    given = {name: value for name, value in os.environ.items() if name not in ("VLKD_LAUNCHER", "VLKD_SCRATCH")}
    environment.use_own(given)
    return given


def _end(child: "subprocess.Popen[bytes]") -> None:
    """Terminate a process and its children, and kill them after a while."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if child.poll() is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(PATIENCE)
