"""What all steps share: reading ``--config``, logging to the rule's log file, reporting user errors."""

import argparse
import contextlib
import errno
import functools
import logging
import os
import re
import signal
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from vlkd_steps.core import files, home, planned_code, terminal
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.interruption import Interrupted, as_ctrl_c
from vlkd_steps.core.terminal import say

log = logging.getLogger("vlkd_steps")


class Terminal(logging.Handler):
    """Writes to the current ``sys.stderr``, so that redirecting it (in tests too) loses no message."""

    def emit(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(OSError):  # a terminal that was closed: what is computed is still to be saved
            say(self.format(record), file=sys.stderr, flush=True)


class LogFile(logging.FileHandler):
    """A log whose disk may be full: what it cannot take is on the terminal, without a traceback for each line."""

    def handleError(self, record: logging.LogRecord) -> None:
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)


class Main(Protocol):
    """A step's ``main``: command-line arguments (default: those of the process) to an exit status."""

    def __call__(self, argv: Sequence[str] | None = None) -> int: ...


def entry(main: Main) -> Main:
    """Turn a `UserError` into one message on stderr (and in the log) and the return value 2; provide a usable HOME.

    A stop signal (`Interrupted`) becomes a line and the status that a shell reports.
    """

    @functools.wraps(main)
    def guarded(argv: Sequence[str] | None = None) -> int:
        home.provide()
        sys.excepthook = terminal.show_traceback
        try:
            with as_ctrl_c():
                return main(argv)
        except UserError as mistake:
            log.error("error: %s", mistake) if log.handlers else say(f"error: {mistake}", file=sys.stderr)
            return 2
        except Interrupted as interruption:
            log.info("%s", interruption)
            return interruption.exit_status
        except KeyboardInterrupt as interrupt:  # a step that keeps no part of its work
            stopped = Interrupted(interrupt.args[0] if interrupt.args else signal.SIGINT)
            log.info("%s", stopped)
            return stopped.exit_status
        except Exception as error:
            if cause := disk_full(error) or folder_gone() or no_access(error):
                log.error("error: %s", cause) if log.handlers else say(f"error: {cause}", file=sys.stderr)
                return 2
            if log.handlers:
                log.error(traceback.format_exc())  # the log file keeps what the terminal scrolls away
                return 1
            raise

    return guarded


FULL = {number: os.strerror(number) for number in (errno.ENOSPC, errno.EDQUOT)}
_FULL = re.compile("|".join([*FULL.values(), *(rf"os error {number}\b" for number in FULL)]))


def disk_full(error: BaseException) -> str | None:
    """The message for a write that failed for want of space, whichever library wrote; None for any other error."""
    if getattr(error, "errno", None) in FULL or _FULL.search(str(error)):
        return f"{error}; make room on that disk, then start the same command again: it continues from what is finished"
    return None


NO_ACCESS = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG, errno.ELOOP)


def no_access(error: BaseException) -> str | None:
    """The message for a path that may not be used, wherever it was looked at; None for any other error."""
    if isinstance(error, OSError) and error.errno in NO_ACCESS and isinstance(error.filename, str | os.PathLike):
        path = f"{os.fspath(error.filename):.200}"
        return f"{path} cannot be used ({error.strerror}); give another path, or allow access to it"
    return None


def folder_gone() -> str | None:
    """The message where the working directory was deleted, at which any library may fail; None where it is there."""
    try:
        Path.cwd()
    except FileNotFoundError:
        return "the current folder was deleted, or made anew by another program; change to one that exists: cd FOLDER"
    return None


def configuration(argv: Sequence[str] | None, description: str | None) -> dict[str, Any]:
    """Parse a step's command line ``--config JSON|@FILE [--log FILE]`` and return the configuration.

    Raises:
        UserError: the configuration is not a JSON object, or its file cannot be read; or the step's code was edited
            since the run that started it has planned it.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", required=True, help="a JSON object, or @FILE that holds one")
    parser.add_argument("--log", type=Path, help="write the log here as well as to stderr")
    arguments = parser.parse_args(argv)
    log_to(arguments.log)
    planned_code.hold()
    return parse_config(arguments.config)


def parse_config(text: str) -> dict[str, Any]:
    """Read a JSON object from a command-line value or, after ``@``, from a file."""
    if text.startswith("@"):
        return files.read_json(Path(text[1:]), "give --config a file that holds a JSON object")
    return files.parse_json(text, "--config", "give a JSON object, or @FILE that holds one")


def log_to(path: Path | None) -> None:
    """Send this package's log records to stderr and, where given, to `path` (replacing an older log)."""
    for handler in list(log.handlers):
        log.removeHandler(handler)
        handler.close()
    handlers: list[logging.Handler] = [Terminal()]
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        handlers.append(LogFile(path, mode="w", encoding="utf-8"))
    for handler in handlers:
        handler.setFormatter(terminal.Formatter("%(message)s"))
        log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
