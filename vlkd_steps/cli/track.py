"""Bring MLflow up to date with the journals under runs/<experiment>/. Safe to repeat at any time.

    vlkd track scenes             once
    vlkd track scenes --follow    during training, until stdin (a pipe) is closed, TERM or INT
                                  arrives, or the process --until-pid ends
    vlkd track --rebuild          move the sqlite file aside and build a new one with every
                                  experiment that has runs here
    vlkd track --upgrade          back up a file of an older MLflow, and upgrade it

Writes to --tracking-uri, or MLFLOW_TRACKING_URI, or sqlite:///mlflow.db (a file on this machine's own disk if the
project is on a shared file system or cannot be written to: VLKD_LOCAL names the folder). Exit status:
0 done (or another tracker is running), 2 a mistake to correct, 3 MLflow did not answer: nothing is lost, run it again.
"""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from typer import Argument, BadParameter, Option

from vlkd_steps.cli import command
from vlkd_steps.config import composition, preset_reference
from vlkd_steps.core import environment, layout, project_folder, step
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.locks import exclusive
from vlkd_steps.core.redaction import redacted
from vlkd_steps.core.step import log
from vlkd_steps.reporting.experiment_sync import ExperimentSync
from vlkd_steps.tracking import address, schema, tracker_lock
from vlkd_steps.tracking.address import set_aside
from vlkd_steps.tracking.mlflow_sync import deleted_are_skipped
from vlkd_steps.tracking.outages import Outage
from vlkd_steps.tracking.polling import INTERVAL, Pace, Stop
from vlkd_steps.tracking.records import REFERENCE

LONGEST_PAUSE = 20.0  # seconds between two tries, of up to ten, to reach a server that does not answer
NOTHING_LOST, UNREACHED = "nothing is lost, the journals have it", 3


@command.single("track", __doc__, cls=command.Named)
def main(
    experiment: Annotated[
        str | None, Argument(help="the folder under runs/ and the name in MLflow", callback=command.experiment)
    ] = None,
    rebuild: Annotated[bool, Option("--rebuild", help="write a new file; the old one is kept")] = False,
    upgrade: Annotated[bool, Option("--upgrade", help="upgrade an older file; a backup is kept")] = False,
    follow: Annotated[bool, Option("--follow", help="keep MLflow up to date while runs are training")] = False,
    tracking_uri: Annotated[str | None, Option(help="default: MLFLOW_TRACKING_URI, or a local sqlite file")] = None,
    until_pid: Annotated[int | None, Option(help="with --follow: stop when this process ends")] = None,
    reference: Annotated[
        str | None, Option(help="variant that gains are measured against; default: the experiment's")
    ] = None,
    log_file: Annotated[Path | None, Option("--log", help="write the log here as well as to stderr")] = None,
) -> int:
    if (experiment is not None) + rebuild + upgrade != 1:
        raise BadParameter("give an experiment, --rebuild or --upgrade, and one of them")
    if (rebuild or upgrade) and follow:
        raise BadParameter("--rebuild and --upgrade do not combine with --follow")
    command.check_output(log_file, "--log")
    step.log_to(log_file)
    environment.use_own()
    composition.use_plugins()
    uri = address.tracking_uri(tracking_uri)
    if experiment is None:
        return rebuilt(uri, reference) if rebuild else upgraded(uri, reference)
    if not follow:
        return once(experiment, uri, reference)
    return followed(experiment, uri, reference, Stop(until_pid))


def experiments() -> list[str]:
    """Names of the experiments that have runs here.

    Raises:
        UserError: there are none.
    """
    found = sorted(path.name for path in Path("runs").glob("*") if layout.run_folders(path.name))
    if not found:
        project_folder.check(Path("params.yaml"))
        raise UserError("there are no runs under runs/ to show; make some first (`vlkd run`), or fetch them: dvc pull")
    return found


def once(experiment: str, uri: str, reference: str | None = None) -> int:
    """Write everything that MLflow lacks and return the exit status.

    Raises:
        UserError: there are no runs, or MLflow refuses them: the experiment was deleted, or the file
            belongs to another user.
    """
    try:
        catch_up(experiment, uri, reference)
    except Outage as outage:
        log.error("%s; %s: run `vlkd track %s` again", outage, NOTHING_LOST, experiment)
        return UNREACHED
    return 0


def catch_up(experiment: str, uri: str, reference: str | None = None) -> None:
    """As `once`, but raises Outage if MLflow cannot be reached."""
    if not layout.run_folders(experiment):
        project_folder.check(Path("params.yaml"))
        raise UserError(f"no runs under runs/{experiment}/, so there is nothing to track; train some first: `vlkd run`")
    with exclusive(tracker_lock.path(uri, experiment)) as holder:
        if holder is not None:
            _log_busy(holder, experiment, uri)
            return
        sync = ExperimentSync(experiment, uri, reference or preset_reference.of(experiment) or REFERENCE)
        if not sync.up_to_date():
            sync.update()
            sync.report()


def rebuilt(uri: str, reference: str | None = None) -> int:
    """Move the sqlite file aside and write every experiment that has runs here into a new one.

    Raises:
        UserError: the address is no sqlite file, a tracker is using it, or the file cannot be moved.
    """
    path, found = _file(uri, "--rebuild"), experiments()
    with _alone(uri, path, found):
        backup = _set_aside(path)
    if backup is not None:
        log.info("%s is now %s: edits and deletions made in MLflow are only there", path, backup)
    return _each(found, uri, reference)


def upgraded(uri: str, reference: str | None = None) -> int:
    """Replace a sqlite file of an older MLflow with an upgraded copy, and bring every experiment up to date.

    Raises:
        UserError: the address is no sqlite file, a tracker is using it, its schema is not an older one, or MLflow
            cannot upgrade it; the file is unchanged.
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
            log.info("%s is upgraded; the backup is %s", path, backup)
    return _each(found, uri, reference)


def _each(found: list[str], uri: str, reference: str | None) -> int:
    """As `once`, for several experiments; one that was deleted in MLflow is logged and left out."""
    status = 0
    for experiment in found:
        with deleted_are_skipped():
            status = max(status, once(experiment, uri, reference))
    return status


def _file(uri: str, option: str) -> Path:
    if (path := address.database(uri)) is None:
        raise UserError(f"{option} moves a sqlite file aside, and {redacted(uri)} is none; give --tracking-uri")
    return path


@contextlib.contextmanager
def _alone(uri: str, path: Path, found: list[str]) -> Iterator[None]:
    """Hold the locks of these experiments' trackers during the block; raises UserError if one is running."""
    with contextlib.ExitStack() as held:
        for experiment in found:
            if (holder := held.enter_context(exclusive(tracker_lock.path(uri, experiment)))) is not None:
                raise UserError(f"{holder} writes experiment {experiment} to {path}; end it, then run this again")
        held.enter_context(exclusive(tracker_lock.path(uri, ""), wait=None))
        yield


def _set_aside(path: Path) -> Path | None:
    try:
        return set_aside(path)
    except OSError as error:
        raise UserError(f"{path} cannot be moved aside ({error.strerror}); make its folder writable") from error


def followed(experiment: str, uri: str, reference: str | None, stop: Stop) -> int:
    """Keep MLflow up to date until `stop`, through outages, and update it once more at the end."""
    with exclusive(tracker_lock.path(uri, experiment)) as holder:
        if holder is not None:
            _log_busy(holder, experiment, uri)
            return 0
        sync = ExperimentSync(experiment, uri, reference or preset_reference.of(experiment) or REFERENCE)
        unreached, pause, pace = False, INTERVAL, Pace()
        while True:
            last = stop.requested
            try:
                sync.update(None if last else pace)
                if unreached:
                    log.info("MLflow answers again and is up to date")
                unreached, pause = False, INTERVAL
            except Outage as outage:
                if not unreached:
                    log.warning("%s; training continues and %s; trying again until it answers", outage, NOTHING_LOST)
                unreached, pause = True, min(2 * pause, LONGEST_PAUSE)
            if last:
                break
            stop.wait(pause)
        if unreached:
            log.error("MLflow still does not answer; %s; %s: run `vlkd track %s` later",
                      sync.unwritten(), NOTHING_LOST, experiment)  # fmt: skip
            return UNREACHED
        sync.report()
    return 0


def _log_busy(holder: str, experiment: str, uri: str) -> None:
    own = layout.MACHINE in tracker_lock.path(uri, experiment).parents
    again = "" if own else "; if it is another project's, run `vlkd track` again when it has ended"
    log.info("another tracker (%s) already writes experiment %s to %s%s", holder, experiment, redacted(uri), again)


if __name__ == "__main__":
    sys.exit(main())
