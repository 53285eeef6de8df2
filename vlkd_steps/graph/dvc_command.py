"""Run DVC as a program: its output or, if it fails, its error message with the remedies of `vlkd doctor`."""

import subprocess
import sys
from pathlib import Path

from vlkd_steps.checks import versioning
from vlkd_steps.core.errors import UserError


def run(*arguments: str) -> str:
    """``dvc ARGUMENTS``, waiting for another dvc to end; returns its stdout.

    Raises:
        UserError: it fails.
    """
    command = [sys.executable, "-m", "dvc", "--wait-for-lock", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        wrong = [finding for finding in versioning.check(Path.cwd()) if finding.level == "fail"]
        causes = "".join(f". {finding.found}: {finding.remedy}" for finding in wrong)
        raise UserError(f"`dvc {arguments[0]}` ends with status {done.returncode}: {_words(done)}{causes}")
    return done.stdout


def _words(done: subprocess.CompletedProcess[str]) -> str:
    """The error lines of its output, or its last lines if there are none."""
    lines = [line.strip() for line in (done.stdout + "\n" + done.stderr).splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR:").strip() for line in lines if line.startswith("ERROR")]
    return "; ".join(errors or lines[-5:]) or "it printed nothing"
