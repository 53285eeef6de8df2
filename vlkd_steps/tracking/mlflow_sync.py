"""The only module that writes to MLflow: brings an experiment there up to date with the journals here.

A run is identified by its ``run_key`` tag, so that a rerun continues it and a lost database can be rebuilt.
The tag ``vlkd.synced`` has a digest of what was sent last: losing it costs time, not data.
MLflow stores a single value for a (metric, step, time) and cannot delete it: a step repeated after a kill is sent again
only if its value differs, and MLflow's "latest" is then the later one.

Runs and experiments that a user deleted in MLflow stay deleted.
"""

import contextlib
import gc
import json
import logging
import shlex
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from vlkd_steps.core import files
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.redaction import redacted
from vlkd_steps.core.step import log
from vlkd_steps.tracking import (
    artifacts,
    new_database,
    outages,
    points,
    relocation,
    run_tags,
    schema,
    sqlite_runs,
    student_model,
)
from vlkd_steps.tracking.address import database
from vlkd_steps.tracking.outages import Outage
from vlkd_steps.tracking.records import MEAN_OVER, Record

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

SYNCED = "vlkd.synced"
ARTIFACTS = "vlkd.artifacts"
PARENT = "mlflow.parentRunId"
RUNS_AT_ONCE = 100  # of a request: a busy server takes seconds for them, and a request that takes ten is given up
PARAM_LENGTH, TAG_LENGTH, DIGEST_LENGTH = 6000, 8000, 36  # MLflow's limits


class DeletedExperiment(UserError):
    """The experiment was deleted in MLflow; others may be there."""

    def __init__(self, uri: str, experiment: str, experiment_id: str) -> None:
        address = shlex.quote(redacted(uri))
        store = "DATABASE" if uri.lower().startswith("http") else address
        super().__init__(
            f"the MLflow experiment {experiment!r} at {redacted(uri)} was deleted there, so nothing is written to it; "
            f"restore it with `MLFLOW_TRACKING_URI={address} mlflow experiments restore -x {experiment_id}`, or remove "
            f"what MLflow still has of it with `mlflow gc --tracking-uri {address} --backend-store-uri {store} "
            f"--experiment-ids {experiment_id}`: `vlkd track {experiment}` then makes it anew"
        )


@contextlib.contextmanager
def deleted_are_skipped() -> Iterator[None]:
    """Within the block an experiment that was deleted in MLflow is logged, so that the others go on."""
    try:
        yield
    except DeletedExperiment as deleted:
        log.warning("skipped: %s", deleted)


class MlflowSync:
    """One experiment at one tracking address.

    Args:
        uri: ``sqlite:///file.db`` or the ``http(s)://`` address of a tracking server.
        experiment: its name; created if it does not exist.
    """

    def __init__(self, uri: str, experiment: str) -> None:
        self.uri = uri
        self.experiment = experiment
        self.experiment_id = ""  # known once connected
        self._client: MlflowClient | None = None
        self._known: dict[str, _Known] = {}
        self._tags: dict[str, str] = {}
        self._left_out: dict[str, str] = {}  # by run key: why MLflow lacks the run
        self._not_created: dict[str, str] = {}  # by run key: the digest of the record that MLflow would not create

    @contextlib.contextmanager
    def filling(self) -> Iterator[None]:
        """For the block in which everything is sent: it takes less time, above all for a new sqlite file."""
        path = database(self.uri)
        new = path is not None and not path.exists()
        with new_database.filled(path) if path and new else contextlib.nullcontext(), _rare_collections():
            yield

    def connect(self) -> None:
        """Create schema and experiment if they do not exist, and read which runs MLflow has.

        Raises:
            Outage: MLflow cannot be reached.
            DeletedExperiment: it was deleted in MLflow.
            UserError: the installed MLflow cannot work with the sqlite file.
        """
        with outages.outages(self.uri):
            self._prepare_file()
            from mlflow import MlflowClient
            from mlflow.entities import ViewType
            from mlflow.store.db import utils

            utils.MAX_RETRY_COUNT = 1  # our loop retries; MLflow's ten attempts last two minutes
            logging.getLogger(utils.__name__).setLevel(logging.CRITICAL)  # it logs tracebacks of errors that it raises
            client = MlflowClient(tracking_uri=self.uri)
            found = client.get_experiment_by_name(self.experiment)
            if found is not None and found.lifecycle_stage == "deleted":
                raise DeletedExperiment(self.uri, self.experiment, found.experiment_id)
            if found is None:
                identity = client.create_experiment(self.experiment, artifact_location=self._artifact_location())
                found = client.get_experiment(identity)
            self._tags = dict(found.tags)
            self._known = {}
            for run in _all_runs(client, found.experiment_id, ViewType.ALL):
                run_key = run.data.tags.get("run_key")
                if run_key is None:
                    continue
                known = _Known.of(run)
                if database(self.uri) is not None and _artifacts_are_gone(run):
                    for name in (ARTIFACTS, SYNCED):
                        known.tags.pop(name, None)
                if run_key not in self._known or self._known[run_key].deleted:  # a current run takes precedence
                    self._known[run_key] = known
            self._client, self.experiment_id = client, found.experiment_id

    def held(self) -> dict[str, str | None]:
        """Run key -> digest of what MLflow was sent; None for a run that was deleted there.

        A sqlite file is read without MLflow; {} if that fails, and `connect` then finds the cause.

        Raises:
            Outage, UserError: as `connect`.
        """
        if (path := database(self.uri)) is None:
            self.connect()
            return {key: None if run.deleted else run.tags.get(SYNCED, "") for key, run in self._known.items()}
        with contextlib.suppress(sqlite3.Error, OSError):
            self._prepare_file()
        found: dict[str, str | None] = {}
        for (run_key, synced, sent), deleted, folder in sqlite_runs.tags(
            path, self.experiment, ("run_key", SYNCED, ARTIFACTS)
        ):
            if run_key is None or (deleted and run_key in found):
                continue  # a current run takes precedence
            gone = sent is not None and folder is not None and not folder.is_dir()
            found[run_key] = None if deleted else "" if gone else synced or ""
        return found

    def run_ids(self) -> dict[str, str]:
        """Run key -> id of the runs that MLflow shows, once connected."""
        return {key: run.run_id for key, run in self._known.items() if not run.deleted}

    def describe(self, tags: Mapping[str, str]) -> None:
        """Set those tags of the experiment (its description, its views) that differ; a refused one is logged."""
        with self._session() as client:
            from mlflow.exceptions import MlflowException

            for name, value in tags.items():
                if self._tags.get(name) != value:
                    try:
                        client.set_experiment_tag(self.experiment_id, name, value)
                    except MlflowException as error:  # such as that of an older server, which allows 5,000 characters
                        if error.error_code != outages.REFUSED:
                            raise
                        log.warning("MLflow refused %s of experiment %s, the runs are not affected: %s",
                                    name, self.experiment, outages.reason(error))  # fmt: skip
                    self._tags[name] = value

    def sync(self, records: Iterable[Record]) -> int:
        """Update MLflow's runs from the records, parents before their runs, and return how many were changed.

        Raises:
            Outage: MLflow cannot be reached; a later call continues.
        """
        changed = 0
        with self._session() as client:
            from mlflow.exceptions import MlflowException

            for record in records:
                known = self._known.get(record.run_key)
                digest = record.digest
                if known is not None and (known.deleted or self._has(known, record)):
                    continue
                if known is None and self._not_created.get(record.run_key) == digest:
                    continue
                self._left_out.pop(record.run_key, None)
                try:
                    self._send(client, record, known or self._create(client, record), digest)
                except MlflowException as error:
                    if error.error_code != outages.REFUSED:
                        raise
                    self._refused(client, record, digest, error)
                changed += 1
        return changed

    def unwritten(self, records: Iterable[Record]) -> list[str]:
        """The names of the records that MLflow lacks or has only in part, with the reason if known."""
        names = []
        for record in records:
            known = self._known.get(record.run_key)
            if reason := self._left_out.get(record.run_key):
                names.append(f"{record.name} ({outages.cut(reason)})")
            elif known is None or not (known.deleted or self._has(known, record)):
                names.append(record.name)
        return names

    def supersede(self, means: Sequence[Record]) -> None:
        """Mark the parents whose runs have another parent now."""
        keys, cells = {mean.run_key for mean in means}, {_cell(mean.tags) for mean in means}
        with self._session() as client:
            for run_key, known in self._known.items():
                replaced = MEAN_OVER in known.tags and run_key not in keys and _cell(known.tags) in cells
                if replaced and not known.deleted and known.tags.get("superseded") != "yes":
                    for name, value in {"superseded": "yes", SYNCED: ""}.items():
                        client.set_tag(known.run_id, name, value)
                        known.tags[name] = value

    def deleted(self, records: Iterable[Record]) -> list[str]:
        """Names of the records whose runs a user deleted in MLflow."""
        return [record.name for record in records if (known := self._known.get(record.run_key)) and known.deleted]

    def _has(self, known: "_Known", record: Record) -> bool:
        """Whether MLflow has a record completely, and below its parent."""
        linked = self._link(record).get(PARENT, known.tags.get(PARENT)) == known.tags.get(PARENT)
        return linked and known.tags.get(SYNCED) == record.digest

    def _link(self, record: Record) -> dict[str, str]:
        parent = self._known.get(record.parent)
        return {} if parent is None or parent.deleted else {PARENT: parent.run_id}

    @contextlib.contextmanager
    def _session(self) -> "Iterator[MlflowClient]":
        if self._client is None:
            self.connect()
        assert self._client is not None
        try:
            with outages.outages(self.uri):
                yield self._client
        except Outage:
            self._client = None  # what was sent is uncertain now: read it again on the next connection
            raise

    def _create(self, client: "MlflowClient", record: Record) -> "_Known":
        tags = self._wanted_tags(record) | {"run_key": record.run_key}
        run = client.create_run(self.experiment_id, start_time=record.started, tags=tags, run_name=record.name)
        known = self._known[record.run_key] = _Known.of(run)
        known.sent = {}
        return known

    def _wanted_tags(self, record: Record) -> dict[str, str]:
        own = {points.key(name): redacted(value)[:TAG_LENGTH] for name, value in run_tags.of(record).items()}
        return own | self._link(record)

    def _send(self, client: "MlflowClient", record: Record, known: "_Known", digest: str) -> None:
        """Send what MLflow lacks of a record. The tags come last, as they say that the rest is there."""
        from mlflow.entities import Metric, Param, RunTag

        if known.sent is None:
            known.sent = points.history(client, known.run_id, known.metric_names)
        new = points.unsent(record, known.sent)
        metrics = [Metric(point.name, point.value, point.time, point.step) for point in new]
        params = [
            Param(points.key(name), redacted(value)[:PARAM_LENGTH])
            for name, value in record.params.items()
            if points.key(name) not in known.params
        ]
        self._send_datasets(client, record, known)
        wanted = self._wanted_tags(record) | self._send_artifacts(record, known)
        self._send_status(client, record, known)
        if record.run_key not in self._left_out:  # otherwise the next tracker would not retry
            wanted[SYNCED] = digest
        tags = [RunTag(name, value) for name, value in wanted.items() if known.tags.get(name) != value]
        for numbers, *others in points.batches(metrics, params, tags):
            # The last step first: MLflow keeps a metric's latest value, and changes that for every later one it meets.
            client.log_batch(known.run_id, numbers[::-1], *others)
        known.sent.update({(point.name, point.step): point.value for point in new})
        known.params |= {param.key for param in params}
        known.tags |= wanted | {SYNCED: digest}

    def _send_status(self, client: "MlflowClient", record: Record, known: "_Known") -> None:
        if record.status == "RUNNING":
            if known.status != "RUNNING":
                client.update_run(known.run_id, status="RUNNING")
        elif (known.status, known.ended) != (record.status, record.ended):
            client.set_terminated(known.run_id, status=record.status, end_time=record.ended)
        known.status, known.ended = record.status, record.ended

    def _refused(self, client: "MlflowClient", record: Record, digest: str, error: Exception) -> None:
        """A run that was deleted meanwhile is skipped from now on; any other refusal is logged once."""
        known = self._known.get(record.run_key)
        if known is not None and client.get_run(known.run_id).info.lifecycle_stage == "deleted":
            known.deleted = True
            return
        self._left_out[record.run_key] = f"refused by MLflow: {outages.reason(error)}"
        log.warning("MLflow refused the run %s, the others continue: %s", record.name, outages.reason(error))
        if known is not None:  # in this process only: no retry before something changes
            known.tags[SYNCED] = digest
        else:
            self._not_created[record.run_key] = digest

    def _send_datasets(self, client: "MlflowClient", record: Record, known: "_Known") -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        inputs = []
        for dataset in record.datasets:
            name, digest = dataset["name"], dataset["digest"][:DIGEST_LENGTH]
            if (name, digest) in known.datasets:
                continue
            source = json.dumps({"uri": dataset.get("source", name)})
            entity = Dataset(name=name, digest=digest, source_type="local", source=source)
            inputs.append(DatasetInput(entity, [InputTag("mlflow.data.context", dataset["context"])]))
            known.datasets.add((name, digest))
        if inputs:
            client.log_inputs(known.run_id, inputs)

    def _send_artifacts(self, record: Record, known: "_Known") -> dict[str, str]:
        """Log a finished run's files where they are new; returns the tags to set once all of the run is there."""
        if not record.sources:
            return {}
        made_of = sorted((str(path), sha) for path, sha in record.sources.items())
        own, sent = files.digest([made_of, student_model.has(record)])[:16], known.tags.get(ARTIFACTS, "")
        digest = own + record.instances
        if sent == digest or (not record.instances and sent.startswith(own)):  # the questions sent before are kept
            return {}
        with tempfile.TemporaryDirectory() as folder:
            try:
                tables = artifacts.write(record, Path(folder))
            except Exception as error:  # a broken file of one run must not prevent tracking of the others
                kind = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
                reason = kind + outages.reason(error)
                self._left_out[record.run_key] = f"its artifacts: {reason}"
                log.warning("no artifacts of %s: %s", record.name, reason)
                return {}
            self._log_artifacts(known, folder)
        listed = json.dumps([{"path": name, "type": "table"} for name in tables])
        # The former lets the UI compare the tables of runs.
        return {"mlflow.loggedArtifacts": listed, ARTIFACTS: digest}

    def _log_artifacts(self, known: "_Known", folder: str) -> None:
        """As the client's method, which reads the whole run again to learn where its artifacts are."""
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        get_artifact_repository(known.artifact_uri, tracking_uri=self.uri).log_artifacts(folder)

    def _artifact_location(self) -> str | None:
        """Beside a sqlite file; None: the server decides."""
        path = database(self.uri)
        return None if path is None else relocation.location(path, self.experiment).as_uri()

    def _prepare_file(self) -> None:
        """For a sqlite file: check its schema, and store artifacts beside it."""
        path = database(self.uri)
        if path is None:
            return
        for each in (path.absolute().parent, path):
            if each.exists() and not files.writable(each):
                raise UserError(outages.not_ours(each))
        schema.check(path)
        if former := relocation.relocate(path):
            log.info("%s was copied or moved here from %s: its artifacts are now those beside it", path,
                     ", ".join(map(str, former)))  # fmt: skip


@dataclass
class _Known:
    """The known state of a run in MLflow. `sent` is read only when something must be sent."""

    run_id: str
    artifact_uri: str
    deleted: bool
    status: str
    ended: int | None
    tags: dict[str, str]
    params: set[str]
    datasets: set[tuple[str, str]]
    metric_names: list[str]
    sent: dict[tuple[str, int], float] | None = field(default=None)

    @classmethod
    def of(cls, run: "Run") -> "_Known":
        inputs = run.inputs.dataset_inputs if run.inputs else []
        return cls(
            run_id=run.info.run_id,
            artifact_uri=run.info.artifact_uri,
            deleted=run.info.lifecycle_stage == "deleted",
            status=run.info.status,
            ended=run.info.end_time,
            tags=dict(run.data.tags),
            params=set(run.data.params),
            datasets={(item.dataset.name, item.dataset.digest) for item in inputs},
            metric_names=list(run.data.metrics),
        )


@contextlib.contextmanager
def _rare_collections() -> Iterator[None]:
    """Look for cyclic garbage less often: MLflow makes some 500 objects for a run, and few of them are garbage."""
    before = gc.get_threshold()
    gc.set_threshold(50_000, 20, 50)
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _cell(tags: Mapping[str, str]) -> tuple[str | None, ...]:
    return tuple(tags.get(name) for name in ("dataset", "student", "variant", "shot"))


def _artifacts_are_gone(run: "Run") -> bool:
    """Whether the artifacts of a run were deleted, or not copied with the sqlite file."""
    folder = relocation.local_path(run.info.artifact_uri)
    return ARTIFACTS in run.data.tags and folder is not None and not folder.is_dir()


def _all_runs(client: "MlflowClient", experiment_id: str, view: int) -> "Iterator[Run]":
    token = None
    while True:
        page = client.search_runs([experiment_id], "", view, RUNS_AT_ONCE, ["start_time ASC"], token)
        yield from page
        token = page.token
        if not token:
            return
