"""What is kept of the output of a DVC that fails."""

import subprocess

import pytest

from vlkd_steps.core.errors import UserError
from vlkd_steps.graph import dvc_command

BUSY = """ERROR: failed to commit - '/p/out.txt' is busy, it is being blocked by:
  (PID 1): dvc commit --force

If there are no processes with such PIDs, you can manually remove '/p/.dvc/tmp/rwlock' and try again.
"""


@pytest.mark.parametrize(
    ("stderr", "kept"),
    [
        (BUSY, "blocked by: (PID 1): dvc commit --force; If there are no processes with such PIDs, you can manually"),
        (f"WARNING: slow\n{BUSY}", "ends with status 255: failed to commit"),
        ("ERROR: one\nERROR: two\n", ": one; two"),
        ("\n".join("abcdefg"), ": c; d; e; f; g"),
        ("", "it printed nothing"),
    ],
)
def test_all_that_dvc_says_about_its_error_is_kept(monkeypatch: pytest.MonkeyPatch, stderr: str, kept: str) -> None:
    monkeypatch.setattr(subprocess, "run", lambda *given, **options: subprocess.CompletedProcess([], 255, "", stderr))
    monkeypatch.setattr(dvc_command.versioning, "check", lambda root: [])
    with pytest.raises(UserError) as raised:
        dvc_command.run("commit", "--force")
    assert kept in str(raised.value)
