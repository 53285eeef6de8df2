import errno
import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from vlkd_steps.core import locks
from vlkd_steps.core.errors import UserError
from vlkd_steps.runs.run_dir import RunDir

HOLDER = """
import sys
from pathlib import Path
from vlkd_steps.core import locks
with locks.exclusive(Path(sys.argv[1])) as holder:
    print(holder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new" / "lock"


@pytest.fixture
def other(path: Path, root: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock until its input ends."""
    command = [sys.executable, "-c", HOLDER, str(path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, text=True, env=os.environ | {"PYTHONPATH": str(root)}, **pipes) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "None\n"
        yield process
        process.kill()


def test_the_holder_is_named_and_its_death_frees_the_lock(path: Path, other: subprocess.Popen[str]) -> None:
    with locks.exclusive(path) as holder:
        assert holder == f"process {other.pid} on {os.uname().nodename}"
    os.kill(other.pid, signal.SIGKILL)
    other.wait()
    with locks.exclusive(path) as holder:
        assert holder is None
        assert path.read_text().startswith(f"process {os.getpid()} on ")


@pytest.mark.parametrize("wait", [None, 60.0])
def test_waiting_ends_when_the_other_process_lets_go(
    path: Path, other: subprocess.Popen[str], wait: float | None
) -> None:
    assert other.stdin is not None
    threading.Timer(0.5, other.stdin.close).start()
    begun = time.monotonic()
    with locks.exclusive(path, wait=wait) as holder:
        assert holder is None
    assert time.monotonic() - begun > 0.3


def test_threads_of_a_process_are_kept_apart_and_a_failed_try_drops_no_lock(path: Path, root: Path) -> None:
    with locks.exclusive(path) as holder:
        assert holder is None
        with locks.exclusive(path) as again:
            assert again == f"process {os.getpid()} on {os.uname().nodename}"
        with locks.exclusive(path, wait=0.01) as again:
            assert again is not None
        outside = subprocess.run(
            [sys.executable, "-c", HOLDER, str(path)],
            input="",
            capture_output=True,
            text=True,
            env=os.environ | {"PYTHONPATH": str(root)},
        )
        assert outside.stdout == f"process {os.getpid()} on {os.uname().nodename}\n"
    with locks.exclusive(path) as holder:
        assert holder is None


def test_a_file_system_without_locks_is_named_as_the_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "lockf", refused)  # this machine has no such file system
    monkeypatch.setattr(fcntl, "flock", refused)
    run = RunDir({}, tmp_path / "run", {}, {})
    with pytest.raises(UserError, match=r"run/work/lock cannot be locked .* no POSIX locks"), run.lock():
        pass
    with (tmp_path / "journal").open("ab") as stream:
        locks.mark_open(stream)
    assert locks.is_open(tmp_path / "journal") is None
