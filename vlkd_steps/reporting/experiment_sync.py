"""One experiment in MLflow, brought up to date with its run folders."""

import contextlib
import logging
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from vlkd_steps.core import layout, locks
from vlkd_steps.core.locks import exclusive
from vlkd_steps.core.redaction import redacted
from vlkd_steps.core.step import log
from vlkd_steps.reporting import mlflow_links, mlflow_view, seed_means
from vlkd_steps.tracking import records, seen, tracker_lock
from vlkd_steps.tracking.mlflow_sync import MlflowSync
from vlkd_steps.tracking.outages import Outage
from vlkd_steps.tracking.polling import Pace
from vlkd_steps.tracking.records import Record

SHOWN = 3  # names of unwritten runs, each with its reason


class ExperimentSync:
    """Reads the run folders that changed since the last update and sends them to MLflow."""

    def __init__(self, experiment: str, uri: str, reference: str) -> None:
        self.experiment, self.uri, self.reference = experiment, uri, reference
        self.sync = MlflowSync(uri, experiment)
        self._memory = tracker_lock.memory(uri, experiment)
        self._records: dict[Path, list[Record]] = {}
        self._stamps: dict[Path, str] = {}
        self._colours: dict[str, str] = {}
        self._means: list[Record] = []
        self._results = ""
        self._warned = Warned()
        self._behind = True

    def up_to_date(self) -> bool:
        """Whether MLflow has all runs, logged if so; decided without reading a run.

        Raises:
            Outage, UserError: as `update`.
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

    def update(self, pace: Pace | None = None) -> int:
        """Read what changed, send it, and return how many runs were written.

        Args:
            pace: while it is not due, only runs that are training are polled; None: all are.

        Raises:
            Outage: MLflow cannot be reached; the message says what was not written.
        """
        try:
            return self._update(pace)
        except Outage as outage:
            raise Outage(f"{outage}; {self.unwritten()}") from outage

    def _update(self, pace: Pace | None) -> int:
        results, self._results = self._results, seen.results_stamp(self.experiment)
        self._behind |= self._read(self._changed(pace)) or results != self._results
        if not self._behind:
            return 0
        current = self.records()
        if not current:
            return 0
        found = seed_means.of(self.experiment, current, self.reference)
        self._means = [mlflow_view.coloured(each, self._colours) for each in found]
        with self.sync.filling():
            changed = self._send(current)
        self._behind = False
        return changed

    def _send(self, current: list[Record]) -> int:
        if not self.sync.experiment_id:  # two trackers of two experiments must not both create the schema
            with exclusive(tracker_lock.path(self.uri, ""), wait=None):
                self.sync.connect()
        self.sync.sync(self._means)
        self.sync.supersede(self._means)
        changed = self.sync.sync(current)
        self.sync.describe(mlflow_view.experiment_tags(self.experiment, current, self._means, self.reference))
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
            ended = self._training(folder) and locks.is_open(layout.journal(folder)) is False  # changes no file
            if ended or self._stamps.get(folder) != stamp:
                changed[folder] = stamp
        return changed

    def _training(self, folder: Path) -> bool:
        return any(record.status == "RUNNING" for record in self._records[folder]) if folder in self._records else False

    def _read(self, changed: Mapping[Path, str]) -> bool:
        """Read these folders; returns whether there were any."""
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
        """All records that were read, in the order of the run folders."""
        return [record for folder in sorted(self._records) for record in self._records[folder]]

    def unwritten(self) -> str:
        """A clause for messages: which runs MLflow lacks."""
        names = self.sync.unwritten(self.records()) or self.sync.unwritten(self._means)
        names += [
            f"{folder} (no line of its journal can be read)" for folder, found in self._records.items() if not found
        ]
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        return f"not written, or incomplete: {', '.join(names[:SHOWN])}{more}" if names else "all runs are written"

    def report(self) -> None:
        """Link the report to MLflow, and log what that lacks; if nothing, remember it for the next start."""
        current = self.records()
        if self.sync.experiment_id:
            page = mlflow_links.page(self.uri)
            mlflow_links.write(self.experiment, page, self.sync.experiment_id, self.sync.run_ids())
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
            log.info("skipped, because they were deleted in MLflow: %s", ", ".join(deleted))


class Warned(logging.Handler):
    """Collects run folders whose reading logged a warning, so that the next tracker reads and reports them again."""

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
