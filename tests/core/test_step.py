import contextlib
import errno
import json
import os
import signal
import tempfile
from pathlib import Path

import pytest

from vlkd_steps.core import files, step
from vlkd_steps.core.errors import UserError


@step.entry
def mistaken(argv=None) -> int:
    config = step.configuration(argv, "A step.")
    if config["fail"] == "user":
        raise UserError("the file x.json, line 3: no comma; add one")
    if config["fail"] == "interrupt":
        raise KeyboardInterrupt
    if config["fail"] == "bug":
        raise ZeroDivisionError("a bug")
    return 0


def test_a_users_mistake_is_one_message_and_exit_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "logs" / "a.log"
    assert mistaken(["--config", json.dumps({"fail": "user"}), "--log", str(log)]) == 2
    printed = capsys.readouterr().err
    assert printed == "error: the file x.json, line 3: no comma; add one\n"
    assert log.read_text() == printed


def test_a_bug_keeps_its_traceback_also_in_the_log(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    assert mistaken(["--config", json.dumps({"fail": "bug"}), "--log", str(log)]) == 1
    assert "ZeroDivisionError: a bug" in log.read_text()


def test_a_deleted_folder_is_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @step.entry
    def main(argv: object = None) -> int:
        return len(os.getcwd())  # noqa: PTH109

    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert main() == 2
    assert capsys.readouterr().err.startswith("error: the current folder was deleted")


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (
            PermissionError(errno.EACCES, os.strerror(errno.EACCES), "locked/a.json"),
            "locked/a.json cannot be used (Perm",
        ),
        (OSError(errno.EROFS, os.strerror(errno.EROFS), "conf/a.yaml"), "conf/a.yaml cannot be used (Read-only file"),
        (
            OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), "x" * 300),
            "x cannot be used (File name too long)",
        ),
    ],
)
def test_a_path_that_may_not_be_used_is_one_message(
    error: OSError, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    @step.entry
    def main(argv: object = None) -> int:
        raise error

    assert main() == 2
    assert why in capsys.readouterr().err


def test_ctrl_c_is_one_line_and_the_status_of_a_shell(capsys: pytest.CaptureFixture[str]) -> None:
    assert mistaken(["--config", json.dumps({"fail": "interrupt"})]) == 130
    assert capsys.readouterr().err == "stopped by SIGINT; the next start continues from here\n"


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_stopped_step_removes_its_temporary_files(number: signal.Signals, status: int, tmp_path: Path) -> None:
    outer = signal.signal(number, signal.SIG_DFL)  # whatever the tests were started under, such as nohup
    try:

        @step.entry
        def stopped(argv=None) -> int:
            with tempfile.TemporaryDirectory(dir=tmp_path), files.atomic(tmp_path / "a") as temporary:
                temporary.write_text("half")
                os.kill(os.getpid(), number)
            return 0

        assert stopped([]) == status
        assert signal.getsignal(number) == signal.SIG_DFL
    finally:
        signal.signal(number, outer)
    assert not list(tmp_path.iterdir())


def test_a_closed_terminal_ends_no_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Path("/dev/full").open("w", buffering=1) as gone:
        monkeypatch.setattr("sys.stderr", gone)
        step.log_to(tmp_path / "a.log")
        step.log.info("step 1")
        monkeypatch.undo()
        with contextlib.suppress(OSError):
            gone.close()
    assert (tmp_path / "a.log").read_text() == "step 1\n"


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device", "runs/x"),
        OSError(errno.EDQUOT, "Disk quota exceeded", "runs/x"),
        RuntimeError("I/O error: No space left on device (os error 28)"),  # as safetensors says it
    ],
)
def test_a_full_disk_is_one_message(error: Exception, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    @step.entry
    def writing(argv=None) -> int:
        step.configuration(argv, "A step.")
        raise error

    assert writing(["--config", "{}"]) == 2
    assert capsys.readouterr().err == (
        f"error: {error}; make room on that disk, then start the same command again: it continues from what is "
        "finished\n"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "--config is not JSON (line 1, column 2"), ("[1]", "must be JSON of an object, not a list")],
)
def test_bad_json_is_named(text: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert mistaken(["--config", text]) == 2
    assert message in capsys.readouterr().err


def test_a_configuration_from_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "c.json"
    path.write_text('{"fail": "no"}')
    assert mistaken(["--config", f"@{path}"]) == 0
    assert mistaken(["--config", f"@{tmp_path / 'none.json'}"]) == 2
    assert "none.json is missing" in capsys.readouterr().err


def test_a_full_disk_below_the_log_costs_no_traceback_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    step.log_to(Path("/dev/full"))
    try:
        step.log.info("one line")
    finally:
        step.log.handlers[-1].stream = None  # closing it would write again
        step.log_to(None)
    assert capsys.readouterr().err == "one line\n"
