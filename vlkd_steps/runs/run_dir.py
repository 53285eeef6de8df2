"""The undeclared ``work/`` folder of a run directory, and how its results become declared outputs.

Snakemake deletes declared outputs on every rerun, so results are written here first, under a content key: the hash of
everything that can change a byte of the result. Each call of `publish` copies them to the declared paths; weights are
hard links, so a finished run stores them once.
Never imports torch, so that a finished seed takes less than a second.
"""

import contextlib
import json
import os
import shutil
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import yaml

from vlkd_steps.config import extra_evals, targets, teacher_names
from vlkd_steps.config.models.method import declaration
from vlkd_steps.core import artifacts, checksums, components, files, given_files, layout, leftovers, locks
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.fingerprint import fingerprint
from vlkd_steps.tracking import journal

NO_BYTE = ("device", "checkpoint_every", "keep")  # keys of training that cannot change a byte on one type of machine
JOB = ("experiment", "dataset", "student", "variant", "swept", "method", "teacher", "shot", "training", "init")
"""The keys of a `distill` job except its seeds; config.yaml has more."""


@dataclass(frozen=True)
class RunDir:
    """One seed's run.

    Attributes:
        config: the job's configuration with ``seed`` instead of ``seeds``.
        folder: the run directory.
        identity: the mapping whose hash is the content key.
        sets: evaluation set -> sha256 of its instance ids; for extra evaluations, `extra_evals.identity`.
    """

    config: dict[str, Any]
    folder: Path
    identity: dict[str, Any]
    sets: dict[str, str]

    @classmethod
    def of(cls, config: Mapping[str, Any], seed: int) -> Self:
        """The run of one seed of a `distill` job.

        Raises:
            UserError: a split, feature store, file of targets or pre-trained model of the job is missing.
        """
        dataset, student, method = config["dataset"], config["student"], config["method"]
        own = {key: value for key, value in config.items() if key != "seeds"} | {"seed": seed}
        folder = layout.run(
            config["experiment"], dataset["name"], student["name"], config["variant"], config["shot"], seed
        )
        split = split_manifest(layout.train_split(dataset["name"], config["shot"], seed), dataset["name"])
        teacher = config.get("teacher")
        weights = layout.model_weights(student["name"]) if student.get("pretrained") else None
        words = student.get("vocabulary") or ""
        if words.endswith(".txt") and not Path(words).is_file():
            raise UserError(f"student.vocabulary: cannot read {words}: no such file; name a text file of words")
        modules = [
            "vlkd_steps.steps.distill",
            components.module_name("student", student["kind"]),
            *components.code_of("method", method["name"]),
            declaration(method["name"]).run_module,
            components.module_name("task", dataset["task"]),
            *components.vocabulary_code(words),
        ]
        try:
            code = fingerprint(*modules)
        except ModuleNotFoundError as error:
            raise UserError(
                f"run {folder}: {error}; correct student.kind, student.vocabulary or method.name"
            ) from error
        identity = {
            "config": byte_relevant(own),
            "split": split["sha256"],
            "instances": split["source"],
            "pixels": split.get("pixels"),
            "features": features(teacher_names.split(teacher["name"]), dataset["name"]) if teacher else None,
            "weights": initial_weights(weights) if weights else None,
            "given": given_files.sums(student),
            "code": code,
            **sight(student, dataset["name"]),
            **computed_targets(config, seed),
            **({"init": initial_weights(initial(own))} if config.get("init") else {}),
        }
        sets = {
            name: split_manifest(layout.eval_split(dataset["name"], name), dataset["name"])["sha256"]
            for name in dataset["evaluation_sets"]
        }
        for name, evaluation in (dataset.get("extra_evals") or {}).items():
            of = evaluation.get("dataset")
            items = split_manifest(layout.eval_split(of, evaluation["set"]), of) if of else None
            sets[name] = extra_evals.identity(evaluation, items)
        return cls(own, folder, identity, sets)

    @property
    def key(self) -> str:
        """The content key: equal keys, equal bytes on one type of machine."""
        return files.digest(self.identity)

    @property
    def run_key(self) -> str:
        """The run's identifier in tracking: 16 hex digits of a hash of run directory and content key."""
        return files.digest({"run": str(self.folder), "key": self.key})[:16]

    @property
    def work(self) -> Path:
        return self.folder / "work" / self.key[:16]

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    @property
    def model(self) -> Path:
        return self.work / "model.safetensors"

    @property
    def description(self) -> Path:
        return self.work / "config.yaml"

    @property
    def checksums(self) -> Path:
        """Lists the finished files of the work folder; others are made again."""
        return self.work / "distill.sha256"

    def predictions(self, evaluation_set: str) -> Path:
        """The name includes a hash of the set's ids, so that a changed set is predicted again."""
        suffix = extra_evals.of_run(self.folder, evaluation_set, self.config["dataset"]).suffix
        return self.work / "predictions" / f"{evaluation_set}-{self.sets[evaluation_set][:12]}{suffix}"

    def unpredicted(self) -> list[str]:
        """The evaluation sets that have no predictions yet."""
        return [name for name in self.sets if not self.predicted(name)]

    def predicted(self, evaluation_set: str) -> bool:
        return self._intact(self.predictions(evaluation_set))

    def trained(self) -> bool:
        return self._intact(self.model) and self._intact(self.description)

    def finished(self) -> bool:
        """Whether all results exist and the journal, which a run writes last, has its end."""
        return self.trained() and not self.unpredicted() and journal.ended(layout.journal(self.folder), self.run_key)

    def damaged(self) -> list[Path]:
        """Finished files whose bytes have changed; they are made again."""
        return [path for path in self._listed() if not self._intact(path)]

    def finish(self, *paths: Path) -> None:
        """List files of the work folder as finished."""
        checksums.write(self.checksums, [*(path for path in self._listed() if self._intact(path)), *paths])

    def _listed(self) -> dict[Path, str]:
        return checksums.read(self.checksums) if self.checksums.is_file() else {}

    def _intact(self, path: Path) -> bool:
        return path.is_file() and self._listed().get(path) == checksums.of(path)

    def describe(self, **more: Any) -> None:
        """Write the resolved configuration, which marks the training as done."""
        hashes = {name: value for name, value in self.identity.items() if name != "config"}
        content = {**self.config, "run_key": self.run_key, "content_key": self.key, "made_of": hashes, **more}
        plain = json.loads(files.canonical(content))
        files.write_text(self.description, yaml.safe_dump(plain, sort_keys=True, allow_unicode=True))
        self.finish(self.model, self.description)

    def publish(self) -> None:
        """Copy all results to the declared paths, or none, and remove checkpoints as `training.keep` says."""
        dataset = self.config["dataset"]
        copied = {self.description: layout.run_config(self.folder)}
        copied |= {self.predictions(name): extra_evals.of_run(self.folder, name, dataset) for name in self.sets}
        model = self.folder / "model.safetensors"
        with self.lock(patience=60):  # a job that has just ended may still hold the lock
            for source, target in copied.items():
                with files.atomic(target) as temporary:
                    shutil.copyfile(source, temporary)
            files.link(self.model, model)
            listed = self._listed()
            known = {target: listed[source] for source, target in (copied | {self.model: model}).items()}
            checksums.record(layout.run_checksums(self.folder, "distill"), known)
            if self.config["training"].get("keep", "last") == "last":
                self._remove_checkpoints()

    def _remove_checkpoints(self) -> None:
        """Remove this run's checkpoints; another configuration's stay, so that it can resume."""
        last = self.checkpoints / "last.safetensors"
        if (checkpoint_key(last) or "").startswith(self.key):
            (self.checkpoints / "best.safetensors").unlink(missing_ok=True)
            last.unlink()

    @contextlib.contextmanager
    def lock(self, patience: float | None = None) -> Iterator[None]:
        """Lock the run directory for this process; the lock is released when the process ends or is killed.

        Args:
            patience: seconds to wait for another process to release it; None: 0, or 60 in a Slurm job, whose earlier
                attempt may still be ending.

        Raises:
            UserError: another process holds the lock, or the file system has no locks.
        """
        if patience is None:
            patience = 60.0 if "SLURM_JOB_ID" in os.environ else 0.0
        with locks.exclusive(self.folder / "work" / "lock", wait=patience) as holder:
            if holder is not None:
                raise UserError(f"{self.folder} is in use by another process ({holder}); wait until it ends, or end it")
            leftovers.remove(self.folder)
            yield


def checkpoint_key(path: Path) -> str | None:
    """The content key of the run that wrote a checkpoint (`engine.checkpoint`), from its header; None: unreadable."""
    try:
        with path.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            header = json.loads(stream.read(min(length, path.stat().st_size)))
        return str(json.loads(header["__metadata__"]["progress"])["key"])
    except (OSError, struct.error, ValueError, KeyError, TypeError):
        return None


def byte_relevant(own: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a run's configuration that can change a trained byte: without machine and evaluation sets."""
    relevant = {key: own[key] for key in own if key not in ("experiment", "variant", "swept", "dataset", "init")}
    dataset = {key: value for key, value in own["dataset"].items() if key not in ("evaluation_sets", "extra_evals")}
    training = {key: value for key, value in own["training"].items() if key not in NO_BYTE}
    return relevant | {"dataset": dataset, "training": training}


def job_of(described: Mapping[str, Any]) -> dict[str, Any]:
    """The `distill` job, for this seed only, of the run with this config.yaml (`RunDir.describe`)."""
    return {key: described[key] for key in JOB if key in described} | {"seeds": [described["seed"]]}


def split_manifest(split: Path, dataset: str) -> dict[str, Any]:
    """A split's manifest: sha256 of its ids, hashes of its source, counts.

    Raises:
        UserError: it cannot be read, or the split was cut from other instances than there are now.
    """
    path, source = layout.split_manifest(split), layout.instances(dataset)
    found: dict[str, Any] = files.read_json(path)
    if found.get("instances") != checksums.recorded(source, layout.instances_checksums(dataset)):
        raise UserError(
            f"{path}: {split} was cut from other instances than those in {source}; cut it again: snakemake -f {split}"
        )
    return found


def features(teachers: Sequence[str], dataset: str) -> dict[str, Any]:
    """The teachers' features of a data set: their content keys, joined by +, and a hash of the files."""
    stores = [files.read_json(layout.features_manifest(name, dataset)) for name in teachers]
    shards = sorted(shard["sha256"] for store in stores for shard in store["shards"])
    return {"key": "+".join(store["key"] for store in stores), "files": files.digest(shards)}


def computed_targets(config: Mapping[str, Any], seed: int) -> dict[str, str]:
    """sha256 of the file of the run's targets, if it reads one (`config.targets`)."""
    path = targets.of_run(config, seed)
    return {"targets": checksums.recorded(path, layout.targets_checksums(path))} if path else {}


def sight(student: Mapping[str, Any], dataset: str) -> dict[str, Any]:
    """For a student with region input: content key and file hash of the regions."""
    if not student.get("regions"):
        return {}
    store = files.read_json(layout.features_manifest(student["regions"], dataset))
    return {
        "regions": {"key": store["key"], "files": files.digest(sorted(shard["sha256"] for shard in store["shards"]))}
    }


def initial(config: Mapping[str, Any]) -> Path:
    """The model that a run starts from by ``init``: that of the run with the same seed."""
    folder = layout.run(config["experiment"], **config["init"], seed=config["seed"])
    return checksums.verified(folder / "model.safetensors", layout.run_checksums(folder, "distill"))


def initial_weights(path: Path) -> str:
    """sha256 of the weights that a student starts from."""
    if not path.is_file():
        raise UserError(f"{path} is missing: the student was not pre-trained; make it: snakemake --cores 1 {path}")
    return checksums.of(artifacts.weights(path))
