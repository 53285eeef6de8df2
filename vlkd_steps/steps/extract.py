"""Extract a teacher's features of a data set, once: every distinct picture, text and word.

    python -m vlkd_steps.steps.extract --config '{"teacher": {"name": "clip_scenes", "kind": "clip", ...},
                                            "dataset": {"name": "scenes_vqa", "roles": {...}}}'

Only the rows that may be trained on are read: the file group of the role `train`, or what the teacher's `splits` lists
(``used``: the file groups of all roles, for a teacher that is read at evaluation too).
A killed extraction goes on at the first missing shard; ``features/<teacher>/<data set>/manifest.json`` comes last. The
same command may run several times at once: the processes share the work (docs/extraction.md).
"""

import contextlib
import shutil
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlkd_steps.core import components, files, layout, step
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.fingerprint import fingerprint
from vlkd_steps.launch.work import Part, Work, launch, workers

STOPPED = 128
"""An exit status above it names a signal: the workers may still run, and the next start goes on with their round."""

if TYPE_CHECKING:
    import polars as pl


@step.entry
def main(argv: Sequence[str] | None = None) -> int:
    config = step.configuration(argv, __doc__)
    teacher, dataset = config["teacher"], config["dataset"]
    folder = layout.features(teacher["name"], dataset["name"])
    submission = layout.submission("extract", teacher["name"], dataset["name"])
    key = job_key(config)
    shared = {**config, "round": begin_round(submission, key)}

    def done() -> bool:
        return finished(folder, shared["round"])

    parts = [Part(f"w{number}", shared, key, done) for number in range(workers())]
    try:
        status = launch(Work("vlkd_steps.steps.extract:work", label(config), submission, config, parts))
    except UserError:
        end_round(submission)
        raise
    if status > STOPPED:
        return status
    end_round(submission)
    if status == 0:
        publish(folder)
    return status


def begin_round(submission: Path, key: str) -> str:
    """A name for this round, or that of the round whose waiter was killed: its workers may still run, or be done."""
    kept = submission / f"round-{key[:16]}"
    if not kept.is_file():
        files.write_text(kept, uuid.uuid4().hex)
    return kept.read_text(encoding="utf-8")


def end_round(submission: Path) -> None:
    """Forget the round, so that the next one looks at every picture again."""
    for kept in submission.glob("round-*"):
        kept.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # it holds what a cluster's launcher has left
        submission.rmdir()
        submission.parent.rmdir()
        submission.parent.parent.rmdir()


def job_key(config: Mapping[str, Any]) -> str:
    """By which jobs of an earlier, killed waiter are known to be for the same extraction.

    Raises:
        UserError: the data set is not prepared, or no module is named like the teacher's kind.
    """
    path = layout.instances(config["dataset"]["name"])
    if not path.is_file():
        raise UserError(f"{path} is missing; prepare the data set first: snakemake {path}")
    kind = config["teacher"]["kind"]
    try:
        code = fingerprint("vlkd_steps.steps.extract", components.module_name("teacher", kind))
    except UserError as error:
        raise UserError(f"teacher {config['teacher']['name']}: {error}; correct `kind`") from error
    return files.digest([dict(config), code, files.sha256(path)])


def finished(folder: Path, shared_round: str) -> bool:
    """Whether the store in `folder` was finished in this round."""
    told = files.known_json(layout.provenance(folder))
    return told.get("round") == shared_round and (folder / told["key"][:16] / "manifest.json").is_file()


def publish(folder: Path) -> None:
    """Put the manifest where Snakemake expects it, if Snakemake has deleted it since a job wrote it.

    Raises:
        UserError: there is none.
    """
    manifest, key = folder / "manifest.json", files.known_json(layout.provenance(folder)).get("key", "")
    copy = folder / key[:16] / "manifest.json"
    if manifest.is_file():
        return
    if not key or not copy.is_file():
        raise UserError(
            f"the extraction has ended, but {manifest} is not there: its workers were lost; start it again, what is "
            "finished is kept"
        )
    with files.atomic(manifest) as temporary:
        shutil.copyfile(copy, temporary)


def work(config: Mapping[str, Any]) -> int:
    """The job of every worker: imports torch, so it runs only where features are made.

    Args:
        config: the step's; ``round`` names the round that several workers share.

    Returns:
        0 when the store is finished, by whomever; 128 + the signal's number when told to stop.
    """

    from vlkd_steps.core.interruption import Interrupted, stop_request
    from vlkd_steps.teachers.features import claims, extraction
    from vlkd_steps.teachers.features.store import TEMPERATURE
    from vlkd_steps.tracking import provenance

    meter = provenance.Meter()
    teacher, dataset = config["teacher"], config["dataset"]
    folder = layout.features(teacher["name"], dataset["name"])
    shared_round = config.get("round") or claims.round_name()
    if finished(folder, shared_round):
        step.log.info(f"[{label(config)}] nothing left to do for this worker")
        return 0

    def record(store: extraction.FeatureStore) -> None:
        cost: dict[str, Any] = meter.cost()  # of this worker, the last one
        told = provenance.collect(threads=teacher.get("threads", 1), **cost)
        files.write_json(layout.provenance(folder), {**told, "round": shared_round, "key": store.key})
        step.log.info(f"[{label(config)}] done: {store.manifest['rows']}, key {store.key}")

    with stop_request() as stop:
        try:
            instances = training_rows(dataset, teacher.get("splits"))
            kind = components.load("teacher", teacher["kind"])
            extract = getattr(kind, "extract", extraction.extract)  # regions have a store of their own
            model = kind.load(teacher)
            extract(
                model,
                instances,
                folder,
                teacher,
                label(config),
                shared_round=shared_round,
                stop=stop,
                on_finish=record,
                name=teacher["name"],
                dataset=dataset["name"],
                temperature=getattr(model, "temperature", TEMPERATURE),
            )
        except Interrupted as interruption:
            step.log.info(f"[{label(config)}] {interruption}")
            return interruption.exit_status
    return 0


def training_rows(dataset: Mapping[str, Any], splits: Sequence[str] | None) -> "pl.DataFrame":
    """``image_id, image_path, text`` of the rows that distillation reads; of every role's, with ``splits: used``.

    Raises:
        UserError: the data set has no such rows.
    """
    import polars as pl

    from vlkd_steps.data import passages

    path = layout.instances(dataset["name"])
    roles = dataset.get("roles", {})
    if splits == "used":
        splits = sorted({role["split"] for role in roles.values()})
    splits = splits or [roles.get("train", {}).get("split", "train")]
    table = pl.scan_parquet(path).filter(pl.col("split").is_in(list(splits)))
    rows = table.select("image_id", "image_path", "text", "choices").collect()
    if passages.has_choices(rows):  # only then what else they hold matters, which is most of the file
        rows = table.collect()
    if rows.is_empty():
        there = ", ".join(sorted(pl.read_parquet(path, columns=["split"])["split"].unique().to_list()))
        raise UserError(f"{path} has no rows of split {', '.join(splits)}, only {there}; set the teacher's `splits`")
    seen = passages.teacher_texts(rows).select("image_id", "image_path", "text")
    return seen.filter((pl.col("image_path") != "") | (pl.col("text") != ""))  # of a corpus in shards nothing is stored


def label(config: Mapping[str, Any]) -> str:
    """How the extraction is called in lines of progress."""
    return f"extract {config['teacher']['name']} {config['dataset']['name']}"


if __name__ == "__main__":
    raise SystemExit(main())
