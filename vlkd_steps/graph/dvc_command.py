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
    """Its output from the first error on, which DVC explains over several lines, or its last lines if there is none."""
    lines = [line.strip() for line in (done.stdout + "\n" + done.stderr).splitlines() if line.strip()]
    first = next((number for number, line in enumerate(lines) if line.startswith("ERROR")), -5)
    words = "; ".join(line.removeprefix("ERROR:").strip() for line in lines[first:])
    return words.replace(":; ", ": ") or "it printed nothing"
