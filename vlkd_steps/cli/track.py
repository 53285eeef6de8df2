"""Bring MLflow up to what the journals under runs/<experiment>/ say. The one writer; safe to repeat at any time.

    vlkd track --experiment scenes             once
    vlkd track --experiment scenes --follow    beside a training, until stdin (a pipe) is closed,
                                               TERM or INT, or the process of --until-pid is gone
    vlkd track --rebuild                       move the sqlite file aside and build it again, with
                                               every experiment that has runs here
    vlkd track --upgrade                       back a file of an older MLflow up, and upgrade it

Writes to --tracking-uri, or MLFLOW_TRACKING_URI, or sqlite:///mlflow.db (a file on this machine's own disk where the
project lies on a shared file system or cannot be written to: VLKD_LOCAL names the folder). Exit status:
0 done (or another tracker is at it), 2 a mistake to be corrected, 3 MLflow did not answer: nothing is lost, run it
again.
"""

import contextlib
import hashlib
import logging
import os
import select
import signal
import stat
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated

from typer import BadParameter, Option

from vlkd_steps.cli import command
from vlkd_steps.core import environment, file_system, files, layout, locks, step
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.locks import exclusive
from vlkd_steps.core.redaction import redacted
from vlkd_steps.core.step import log
from vlkd_steps.reporting import mlflow_view, seed_means
from vlkd_steps.tracking import address, records, schema, seen
from vlkd_steps.tracking.address import set_aside
from vlkd_steps.tracking.mlflow_sync import MlflowSync, Outage
from vlkd_steps.tracking.records import Record

INTERVAL = 2.0  # seconds between two looks at the runs that train
SHARE = 0.008  # of a core, for looking at all run folders while runs train
LONGEST_PAUSE = 20.0  # seconds between two tries, of up to ten, to reach a silent server
SHOWN = 5  # names of what is not written
LOCKS = Path(".vlkd")
NOTHING_LOST, UNREACHED = "nothing is lost, the journals have it", 3


@command.single("track", __doc__)
def main(
    experiment: Annotated[
        str | None, Option(help="the folder under runs/ and the name in MLflow", callback=command.experiment)
    ] = None,
    rebuild: Annotated[bool, Option("--rebuild", help="all experiments, in a new file; the old one is kept")] = False,
    upgrade: Annotated[bool, Option("--upgrade", help="a sqlite file of an older MLflow; a backup is kept")] = False,
    follow: Annotated[bool, Option("--follow", help="keep looking while runs are training")] = False,
    tracking_uri: Annotated[str | None, Option(help="default: MLFLOW_TRACKING_URI, or a local sqlite file")] = None,
    until_pid: Annotated[int | None, Option(help="with --follow: stop when this process is gone")] = None,
    reference: Annotated[str, Option(help="variant from which gains are counted")] = "finetune",
    log_file: Annotated[Path | None, Option("--log", help="write the log here as well as to stderr")] = None,
) -> int:
    if (experiment is not None) + rebuild + upgrade != 1:
        raise BadParameter("give one of --experiment, --rebuild and --upgrade")
    if (rebuild or upgrade) and follow:
        raise BadParameter("--rebuild and --upgrade end when they are done: not with --follow")
    step.log_to(log_file)
    environment.use_own()
    uri = address.tracking_uri(tracking_uri)
    if experiment is None:
        return build_again(uri, reference) if rebuild else upgraded(uri, reference)
    if not follow:
        return once(experiment, uri, reference)
    return keep_up(experiment, uri, reference, Stop(until_pid))


def experiments() -> list[str]:
    """Names of the experiments that have runs here.

    Raises:
        UserError: there are none.
    """
    found = sorted(path.name for path in Path("runs").glob("*") if layout.run_folders(path.name))
    if not found:
        raise UserError("there are no runs under runs/ to show; make some first (`vlkd run`), or fetch them: dvc pull")
    return found


def once(experiment: str, uri: str, reference: str = "finetune") -> int:
    """Write everything that MLflow lacks and return the exit status.

    Raises:
        UserError: there are no runs, or MLflow will not take them: the experiment was deleted, the file is another's.
    """
    try:
        catch_up(experiment, uri, reference)
    except Outage as outage:
        log.error("%s; %s: run `vlkd track --experiment %s` again", outage, NOTHING_LOST, experiment)
        return UNREACHED
    return 0


def catch_up(experiment: str, uri: str, reference: str = "finetune") -> None:
    """What `once` does; raises Outage where MLflow cannot be reached."""
    if not layout.run_folders(experiment):
        raise UserError(f"no runs under runs/{experiment}/, so there is nothing to track; train some first: `vlkd run`")
    with exclusive(_lock(uri, experiment)) as holder:
        if holder is not None:
            _say_busy(holder, experiment, uri)
            return
        follower = Follower(experiment, uri, reference)
        if not follower.up_to_date():
            follower.look()
            follower.report()


def build_again(uri: str, reference: str = "finetune") -> int:
    """Move the sqlite file aside and write every experiment that has runs here into a new one.

    Raises:
        UserError: the address is no sqlite file, a tracker is at it, or the file cannot be moved.
    """
    path, found = _file(uri, "--rebuild"), experiments()
    with _alone(uri, path, found):
        backup = _set_aside(path)
    if backup is not None:
        log.info("%s is now %s: what was written in MLflow by hand, and deletions, are only there", path, backup)
    return max(once(experiment, uri, reference) for experiment in found)


def upgraded(uri: str, reference: str = "finetune") -> int:
    """Put an upgraded copy in the place of a sqlite file of an older MLflow, and bring every experiment up to date.

    Raises:
        UserError: the address is no sqlite file, a tracker is at it, its schema is not an older one, or MLflow cannot
            upgrade it; the file stays as it was.
    """
    path, found = _file(uri, "--upgrade"), experiments()
    with _alone(uri, path, found):
        fault = schema.fault(path)
        if fault is not None and not fault.upgrade:
            raise UserError(f"{fault.what}, so it cannot be upgraded; {fault.remedy(path)}")
        if fault is not None:
            copy = schema.upgraded_copy(path)
            backup = _set_aside(path)
            copy.replace(path)
            log.info("%s is upgraded; as it was, it is %s", path, backup)
    return max(once(experiment, uri, reference) for experiment in found)


def _file(uri: str, option: str) -> Path:
    if (path := address.database(uri)) is None:
        raise UserError(f"{option} moves a sqlite file aside, and {redacted(uri)} is none; give --tracking-uri")
    return path


@contextlib.contextmanager
def _alone(uri: str, path: Path, found: list[str]) -> Iterator[None]:
    """No tracker of these experiments is at a file during the block; raises UserError where one is."""
    with contextlib.ExitStack() as held:
        for experiment in found:
            if (holder := held.enter_context(exclusive(_lock(uri, experiment)))) is not None:
                raise UserError(f"{holder} writes experiment {experiment} to {path}; end it, then repeat this")
        held.enter_context(exclusive(_lock(uri, ""), wait=None))
        yield


def _set_aside(path: Path) -> Path | None:
    try:
        return set_aside(path)
    except OSError as error:
        raise UserError(f"{path} cannot be moved aside ({error.strerror}); make its folder writable") from error


def keep_up(experiment: str, uri: str, reference: str, stop: "Stop") -> int:
    """Write what happens as it happens, through outages, and everything once more at the end."""
    with exclusive(_lock(uri, experiment)) as holder:
        if holder is not None:
            _say_busy(holder, experiment, uri)
            return 0
        follower = Follower(experiment, uri, reference)
        silent, pause, pace = False, INTERVAL, Pace()
        while True:
            last = stop.requested
            try:
                follower.look(None if last else pace)
                if silent:
                    log.info("MLflow answers again and has caught up")
                silent, pause = False, INTERVAL
            except Outage as outage:
                if not silent:
                    log.warning("%s; training goes on and %s; trying again until it answers", outage, NOTHING_LOST)
                silent, pause = True, min(2 * pause, LONGEST_PAUSE)
            if last:
                break
            stop.wait(pause)
        if silent:
            log.error("MLflow is still silent; %s; %s: run `vlkd track --experiment %s` later",
                      follower.unwritten(), NOTHING_LOST, experiment)  # fmt: skip
            return UNREACHED
        follower.report()
    return 0


class Pace:
    """When to look at all run folders: as often as SHARE of a core allows, the time for what is new not counted."""

    def __init__(self) -> None:
        self._next = 0.0

    @property
    def due(self) -> bool:
        return time.monotonic() >= self._next

    @contextlib.contextmanager
    def spending(self) -> Iterator[None]:
        begun = time.process_time()
        yield
        self._next = time.monotonic() + (time.process_time() - begun) / SHARE


class Follower:
    """Reads the run folders that changed since the last look and hands them to MLflow."""

    def __init__(self, experiment: str, uri: str, reference: str) -> None:
        self.experiment, self.uri, self.reference = experiment, uri, reference
        self.sync = MlflowSync(uri, experiment)
        self._memory = _lock(uri, experiment).with_suffix(".json")
        self._records: dict[Path, list[Record]] = {}
        self._stamps: dict[Path, str] = {}
        self._colours: dict[str, str] = {}
        self._means: list[Record] = []
        self._results = ""
        self._warned = Warned()
        self._behind = True

    def up_to_date(self) -> bool:
        """Whether MLflow has all that is here, said in the log; found without reading a run.

        Raises:
            Outage, UserError: as `look`.
        """
        results = seen.results_stamp(self.experiment)
        sent = seen.unchanged(self._memory, self.reference, layout.run_folders(self.experiment), results)
        if not sent:
            return False
        held = self.sync.held()
        if not all(held.get(run_key, "") in (None, each.digest) for run_key, each in sent.items()):
            return False
        runs = sum(not run_key.startswith(records.MEAN) for run_key in sent)
        self._say(runs, [each.name for run_key, each in sent.items() if held[run_key] is None])
        return True

    def look(self, pace: Pace | None = None) -> int:
        """Read, send, and return how many runs needed something.

        Args:
            pace: where it is not due, look only at the runs that are training.

        Raises:
            Outage: MLflow cannot be reached; its text says what it lacks.
        """
        try:
            return self._look(pace)
        except Outage as outage:
            raise Outage(f"{outage}; {self.unwritten()}") from outage

    def _look(self, pace: Pace | None) -> int:
        results, self._results = self._results, seen.results_stamp(self.experiment)
        self._behind |= self._read(self._changed(pace)) or results != self._results
        if not self._behind:
            return 0
        current = self.records()
        if not current:
            return 0
        found = seed_means.of(self.experiment, current, self.reference)
        self._means = [mlflow_view.coloured(each, self._colours) for each in found]
        if not self.sync.experiment_id:  # two trackers of two experiments must not both create the schema
            with exclusive(_lock(self.uri, ""), wait=None):
                self.sync.connect()
        self.sync.sync(self._means)
        self.sync.supersede(self._means)
        changed = self.sync.sync(current)
        self.sync.describe(mlflow_view.experiment_tags(self.experiment, current, self._means, self.reference))
        self._behind = False
        return changed

    def _changed(self, pace: Pace | None) -> dict[Path, str]:
        """The folders to read, with their stamps."""
        if pace is None:
            return self._compared(layout.run_folders(self.experiment))
        if not pace.due:
            return self._compared(folder for folder in self._records if self._training(folder))
        with pace.spending():
            return self._compared(layout.run_folders(self.experiment))

    def _compared(self, folders: Iterable[Path]) -> dict[Path, str]:
        changed = {}
        for folder in folders:
            stamp = seen.stamp(folder, self.reference)
            ended = self._training(folder) and locks.is_open(layout.journal(folder)) is False  # which leaves no trace
            if ended or self._stamps.get(folder) != stamp:
                changed[folder] = stamp
        return changed

    def _training(self, folder: Path) -> bool:
        return any(record.status == "RUNNING" for record in self._records[folder]) if folder in self._records else False

    def _read(self, changed: Mapping[Path, str]) -> bool:
        """Read these folders; whether there were any."""
        for folder, stamp in changed.items():
            with self._warned.while_reading(folder):
                found = records.read(folder, self.reference)
            self._records[folder], self._stamps[folder] = found, stamp
        colours = mlflow_view.colours(self.records(), self.reference) if changed else self._colours
        for folder in changed if colours == self._colours else self._records:
            self._records[folder] = [mlflow_view.coloured(record, colours) for record in self._records[folder]]
        self._colours = colours
        return bool(changed)

    def records(self) -> list[Record]:
        """What was read, in the order of the run folders."""
        return [record for folder in sorted(self._records) for record in self._records[folder]]

    def unwritten(self) -> str:
        """What MLflow lacks, in a clause."""
        names = self.sync.unwritten(self.records()) or self.sync.unwritten(self._means)
        names += [
            f"{folder} (nothing in its journal can be read)" for folder, found in self._records.items() if not found
        ]
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        return f"not written, or not to the end: {', '.join(names[:SHOWN])}{more}" if names else "all runs are written"

    def report(self) -> None:
        """Say what MLflow holds now, and what it does not; where that is all, remember it."""
        current = self.records()
        unwritten = len(self.sync.unwritten(current))
        self._say(len(current) - unwritten, self.sync.deleted([*self._means, *current]))
        if self.sync.unwritten(self._means) or unwritten or not all(self._records.values()):
            log.warning(self.unwritten())
        elif not self._warned.folders and not any(map(self._training, self._records)):
            killed = {record.folder for record in current if record.status == "KILLED"}
            sent = {each.run_key: seen.Sent(each.name, each.digest) for each in [*self._means, *current]}
            seen.write(self._memory, self.reference, self._stamps, killed, sent, self._results)

    def _say(self, written: int, deleted: list[str]) -> None:
        log.info("MLflow experiment %s at %s: %d runs up to date", self.experiment, redacted(self.uri), written)
        if deleted:
            log.info("left alone, because they were deleted in MLflow: %s", ", ".join(deleted))


class Warned(logging.Handler):
    """The run folders whose reading logged a warning: the next tracker reads them again, and repeats it."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.folders: set[Path] = set()
        self._folder = Path()

    @contextlib.contextmanager
    def while_reading(self, folder: Path) -> Iterator[None]:
        self._folder = folder
        log.addHandler(self)
        try:
            yield
        finally:
            log.removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        self.folders.add(self._folder)


class Stop:
    """The end of --follow: TERM or INT, stdin closed (where it is a pipe), or the watched process gone."""

    def __init__(self, pid: int | None = None) -> None:
        self._pid = pid
        self._stopped = threading.Event()
        self._pipe = stat.S_ISFIFO(os.fstat(0).st_mode) if _is_open(0) else False
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, self._on_signal)

    @property
    def requested(self) -> bool:
        """Whether it is time for the last look."""
        if self._pipe and select.select([0], [], [], 0)[0] and not os.read(0, 4096):
            self._stopped.set()
        if self._pid is not None and not _lives(self._pid):
            self._stopped.set()
        return self._stopped.is_set()

    def wait(self, seconds: float) -> None:
        """Sleep, but not beyond a request to stop."""
        until = time.monotonic() + seconds
        while not self.requested and (rest := until - time.monotonic()) > 0:
            self._stopped.wait(min(rest, 0.25))

    def _on_signal(self, number: int, frame: object) -> None:
        self._stopped.set()
        signal.signal(number, signal.SIG_DFL)  # a second one ends the process at once


def _lock(uri: str, experiment: str) -> Path:
    """One for each place that is written to: a file on a machine's own disk is another one on every machine."""
    path = address.database(uri)
    machine = f"{os.uname().nodename} " if path is not None and not file_system.of(path).shared else ""
    lock = _locks() / f"track-{hashlib.sha256(f'{machine}{uri} {experiment}'.encode()).hexdigest()[:12]}.lock"
    if lock.exists() and not files.writable(lock):
        raise UserError(f"{lock} belongs to another user (a run as root?); make {lock.parent} yours, or remove it")
    return lock


def _locks() -> Path:
    """The folder of the locks: in the project or, where that cannot be written to, this machine's own for it."""
    if files.writable(LOCKS if LOCKS.exists() else Path.cwd()):
        return LOCKS
    folder = file_system.node_local(Path.cwd())
    file_system.make_private(folder)
    return folder


def _say_busy(holder: str, experiment: str, uri: str) -> None:
    log.info("another tracker (%s) writes experiment %s to %s already", holder, experiment, redacted(uri))


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
