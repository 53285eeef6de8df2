"""The inputs of a run or model: every file that it read, with its recorded hash and the present one.

A run's config.yaml (``made_of``) records the ids of its training split, the rows of its instances, the shards of its
teachers' features and of its regions, its targets, its initial weights and its vocabulary; its journal records the ids
of its evaluation sets. A model's config.yaml records the corpus, the initial weights and the vocabulary. Manifests
record what these files name in turn: feature shards and images.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from vlkd_steps.config import extra_evals, targets, teacher_names
from vlkd_steps.core import artifacts, files, layout, package_assets, tables
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.interruption import StopRequest
from vlkd_steps.datasets import instances
from vlkd_steps.graph import phase_manifest
from vlkd_steps.runs import model_dir, run_dir
from vlkd_steps.verification.recorded import Recorded
from vlkd_steps.verification.recorded_run import RecordedRun

SHOWN = 5  # inputs named in a message


@dataclass(frozen=True)
class Input:
    """A file that a run read.

    Attributes:
        recorded: the hash of its content at training; None: not recorded.
        present: the same hash now; None: the file is missing.
        record: the file, and key, that has the recorded hash.
    """

    path: Path
    recorded: str | None
    present: str | None
    record: str

    @property
    def agrees(self) -> bool:
        return self.present is not None and self.recorded in (None, self.present)

    def __str__(self) -> str:
        if self.present is None:
            return f"{self.path}: missing"
        return f"{self.path}: recorded {str(self.recorded)[:16]} ({self.record}), present {self.present[:16]}"


def check(run: Recorded, stop: StopRequest) -> list[Input]:
    """The inputs of a run or model, if all of them exist with the recorded hashes.

    Raises:
        UserError: files are missing or differ.
        Interrupted: a signal came.
    """
    found = []
    for each in of_run(run) if isinstance(run, RecordedRun) else of_model(run):
        stop.raise_if_set()
        found.append(each)
    wrong = [each for each in found if not each.agrees]
    if wrong:
        lines = [f"  {each}" for each in wrong[:SHOWN]]
        lines += [f"  and {len(wrong) - SHOWN} more"] if len(wrong) > SHOWN else []
        commit = (run.provenance.get("git") or {}).get("commit")
        raise UserError(
            f"{run.folder} cannot be verified: its inputs have changed since training\n"
            + "\n".join(lines)
            + "\nrestore them (dvc pull, or dvc checkout"
            + (f"; the {run.called} is of git commit {commit}" if commit else "")
            + f"), or train the {run.called} on the present files: snakemake --cores all"
        )
    return found


def of_run(run: RecordedRun) -> Iterator[Input]:
    """Every file that the run read, the split first."""
    dataset, made_of, by = run.own["dataset"], run.described["made_of"], f"{layout.run_config(run.folder)}, made_of"
    name = dataset["name"]
    split = layout.train_split(name, run.own["shot"], run.own["seed"])
    yield Input(split, made_of["split"], _present(split, _ids_hash), f"{by}.split")
    yield Input(layout.instances(name), made_of["instances"], _present(layout.instances(name), _rows_hash),
                f"{by}.instances")  # fmt: skip
    teacher = (run.own.get("teacher") or {}).get("name")
    if made_of.get("features"):
        yield from _stores(teacher_names.split(teacher), name, made_of["features"], f"{by}.features")
    if path := targets.of_run(run.own, run.own["seed"]):
        yield Input(path, made_of.get("targets"), _present(path, files.sha256), f"{by}.targets")
    yield from _student(run, by)
    if made_of.get("init"):
        path = run_dir.initial(run.own)
        yield Input(path, made_of["init"], _present(path, files.sha256), f"{by}.init")
    yield from _evaluation_sets(run)
    yield from _by_phase_manifests(run)
    yield from _images(run)


def of_model(model: Recorded) -> Iterator[Input]:
    """Every file that pre-training read: the corpus with its images, the initial weights, the vocabulary."""
    made_of, by = model.described["made_of"], f"{layout.run_config(model.folder)}, made_of"
    for key, path in model_dir.inputs(model.own).items():
        yield Input(path, made_of[key], _present(path, files.sha256), f"{by}.{key}")
    making = model.own["pretrain"]
    if making.get("corpus") and (corpus := layout.instances(making["corpus"])).is_file():
        table = tables.read(corpus, columns=["split", "image_path"])
        if making.get("split"):
            table = table.filter(table["split"] == making["split"])
        yield from _raw(Path(path) for path in table["image_path"].unique(maintain_order=True) if path)


def _present(path: Path, content: Any) -> str | None:
    return content(path) if path.is_file() else None


def _ids_hash(split: Path) -> str:
    """The hash of a split's ids, as its manifest has it."""
    return artifacts.ids_hash(tables.read(split, columns=["instance_id"])["instance_id"].to_list())


def _rows_hash(path: Path) -> str:
    return instances.table_hash(pq.read_table(path))


def _stores(stores: Sequence[str], dataset: str, recorded: Mapping[str, str], by: str) -> Iterator[Input]:
    """Feature stores: their manifests as the run recorded them, and their files as the manifests list them."""
    manifests = [layout.features_manifest(store, dataset) for store in stores]
    if absent := [path for path in manifests if not path.is_file()]:
        yield from (Input(path, None, None, by) for path in absent)
        return
    present = run_dir.features(stores, dataset)
    # Two stores share one hash of their files; their keys show which store changed.
    keys = zip(manifests, recorded["key"].split("+"), present["key"].split("+"), strict=False)
    changed = [path for path, then, now in keys if then != now] or manifests
    for path in changed:
        yield Input(path, recorded["files"], present["files"], f"{by}.files")
    for manifest in manifests:
        for path, sha256 in phase_manifest.named_by(manifest).items():
            yield Input(path, sha256, _present(path, files.sha256), str(manifest))


def _student(run: RecordedRun, by: str) -> Iterator[Input]:
    """The student's inputs: initial weights, vocabulary, regions."""
    student, made_of = run.own["student"], run.described["made_of"]
    if made_of.get("weights"):
        path = layout.model_weights(student["name"])
        yield Input(path, made_of["weights"], _present(path, files.sha256), f"{by}.weights")
    for name, sha256 in (made_of.get("given") or {}).items():
        yield Input(Path(name), sha256, _present(Path(name), files.sha256), f"{by}.given")
    if made_of.get("regions"):
        yield from _stores([student["regions"]], run.own["dataset"]["name"], made_of["regions"], f"{by}.regions")
    if student.get("shipped"):
        path = package_assets.path(student["weights"]) or Path(student["weights"])
        present = package_assets.of(student["weights"]) or None
        yield Input(path, student["shipped"], present, f"{layout.run_config(run.folder)}, student.shipped")


def _evaluation_sets(run: RecordedRun) -> Iterator[Input]:
    """The sets whose predictions are compared, of this data set and of others, as the journal records them."""
    dataset, by = run.own["dataset"], str(layout.journal(run.folder))
    digests = {each["name"]: each["digest"] for each in run.start.get("datasets", [])}
    extra = dataset.get("extra_evals") or {}
    for evaluation in extra_evals.sets(dataset):
        path = layout.eval_split(evaluation.dataset, evaluation.evaluation_set)
        present = _present(path, _ids_hash)
        if present and evaluation.name in extra:
            items = files.read_json(layout.split_manifest(path)) | {"sha256": present}
            present = extra_evals.identity(extra[evaluation.name], items)
        yield Input(path, digests.get(f"{dataset['name']} {evaluation.name}"), present, by)
        if evaluation.dataset != dataset["name"]:
            yield Input(
                layout.instances(evaluation.dataset), *_by_its_split(evaluation), str(layout.split_manifest(path))
            )


def _by_its_split(evaluation: extra_evals.Evaluation) -> tuple[str | None, str | None]:
    """The recorded and present hash of the rows that an evaluation set was sampled from."""
    split = layout.eval_split(evaluation.dataset, evaluation.evaluation_set)
    recorded = files.read_json(layout.split_manifest(split))["source"] if split.is_file() else None
    return recorded, _present(layout.instances(evaluation.dataset), _rows_hash)


def _by_phase_manifests(run: RecordedRun) -> Iterator[Input]:
    """What only phase manifests record: classes and answers, and the weights of a teacher that was pre-trained here."""
    names = dict.fromkeys(evaluation.dataset for evaluation in extra_evals.sets(run.own["dataset"]))
    wanted = [layout.labels(name) for name in dict.fromkeys([run.own["dataset"]["name"], *names])]
    wanted += [layout.model_weights(name) for name in teacher_names.split((run.own.get("teacher") or {}).get("name"))]
    for phase in ("prepare", "pretrain"):
        path = layout.phase_manifest(run.own["experiment"], phase)
        entries = phase_manifest.read(path)
        yield from (
            Input(each, entries[each].sha256, _present(each, files.sha256), str(path))
            for each in wanted
            if each in entries
        )


def _images(run: RecordedRun) -> Iterator[Input]:
    """The images of the training and evaluation sets or, for a corpus in shards, the raw files, by raw manifests."""
    dataset = run.own["dataset"]
    splits = [(dataset["name"], layout.train_split(dataset["name"], run.own["shot"], run.own["seed"]))]
    splits += [
        (evaluation.dataset, layout.eval_split(evaluation.dataset, evaluation.evaluation_set))
        for evaluation in extra_evals.sets(dataset)
    ]
    paths = dict.fromkeys(path for name, split in splits for path in _image_paths(name, split))
    yield from _raw(paths)
    if dataset.get("shards") or dataset.get("tsv"):
        yield from _raw(phase_manifest.named_by(layout.raw_manifest(dataset["source"])))


def _image_paths(dataset: str, split: Path) -> list[Path]:
    if not split.is_file() or not layout.instances(dataset).is_file():
        return []  # already reported as missing
    ids = tables.read(split, columns=["instance_id"])
    table = tables.read(layout.instances(dataset), columns=["instance_id", "image_path"])
    chosen = ids.join(table, on="instance_id", how="inner", maintain_order="left")["image_path"]
    return [Path(path) for path in chosen.unique(maintain_order=True) if path]


def _raw(paths: Iterable[Path]) -> Iterator[Input]:
    """Files below ``data/raw/<source>/`` by that source's manifest."""
    known: dict[Path, dict[Path, str]] = {}
    for path in paths:
        manifest = layout.raw_manifest(path.parts[2]) if path.is_relative_to("data/raw") else Path()
        if manifest not in known:
            known[manifest] = phase_manifest.named_by(manifest)
        yield Input(path, known[manifest].get(path), _present(path, files.sha256), str(manifest))
