"""DVC as a program: its answer or, where it fails, its own words and what the doctor says to do about it."""

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
    """What it says for itself: its lines that name an error, else its last ones."""
    lines = [line.strip() for line in (done.stdout + "\n" + done.stderr).splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR:").strip() for line in lines if line.startswith("ERROR")]
    return "; ".join(errors or lines[-5:]) or "it said nothing"
