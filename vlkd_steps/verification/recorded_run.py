"""A finished run as its folder records it: configuration, outputs, provenance, losses."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from vlkd_steps.config import extra_evals
from vlkd_steps.core import files, layout
from vlkd_steps.core.errors import UserError
from vlkd_steps.graph import phase_manifest
from vlkd_steps.runs.run_dir import byte_relevant, job_of
from vlkd_steps.tracking import journal
from vlkd_steps.verification import recorded
from vlkd_steps.verification.recorded import Recorded, Step

KEYS = (
    "experiment", "dataset.name", "dataset.task", "dataset.evaluation_sets", "student.name", "student.kind", "variant",
    "method.name", "shot", "seed", "training", "run_key", "made_of.split", "made_of.instances",
)  # fmt: skip
"""Of config.yaml (`RunDir.describe`); others may be missing in a run of an earlier version."""


class RecordedRun(Recorded):
    """The run of one seed."""

    called = "run"

    @property
    def job(self) -> dict[str, Any]:
        """The `distill` job that repeats it: this seed only."""
        return job_of(self.described)

    @property
    def own(self) -> dict[str, Any]:
        """The job with ``seed`` instead of ``seeds``, as `runs.run_dir.RunDir` has it."""
        return {key: value for key, value in self.job.items() if key != "seeds"} | {"seed": self.described["seed"]}

    def outputs(self) -> list[Path]:
        """All outputs of training and scoring, relative to the run directory: model, predictions, scores, metrics."""
        trained, scored = [Path("model.safetensors"), *self._predictions()], []
        if layout.metrics(self.folder).is_file():
            sets = [evaluation.name for evaluation in extra_evals.sets(self.described["dataset"])]
            scored = [layout.scores(Path(), name) for name in sets] + [layout.metrics(Path())]
        return trained + scored

    def _predictions(self) -> Iterator[Path]:
        dataset = self.described["dataset"]
        names = [evaluation.name for evaluation in extra_evals.sets(dataset)] + list(extra_evals.measures(dataset))
        yield from (extra_evals.of_run(Path(), name, dataset) for name in names)

    def edited(self) -> bool:
        made_of = {"config": byte_relevant(self.own), **self.described["made_of"]}
        return files.digest(json.loads(files.canonical(made_of))) != self.described["content_key"]

    def listed(self) -> tuple[Path, Mapping[Path, str]]:
        """From the experiment's manifest; empty if that describes another run in this folder."""
        manifest, config = layout.phase_manifest(self.own["experiment"], "distill"), layout.run_config(self.folder)
        entries = phase_manifest.read(manifest)
        if config not in entries or entries[config].sha256 != files.sha256(config):
            return manifest, {}
        return manifest, {path: entry.sha256 for path, entry in entries.items()}

    def steps(self) -> Iterator[Step]:
        job = {**self.job, "training": self.on_its_device(self.job["training"])}
        yield "distill", job
        if layout.metrics(self.folder).is_file():
            keys = ("experiment", "dataset", "variant", "shot", "seeds")
            yield "evaluate", {key: job[key] for key in keys} | {"student": job["student"]["name"]}

    def links(self) -> list[Path]:
        """The run that it starts from."""
        job = self.job
        return [layout.run(job["experiment"], **job["init"], seed=self.own["seed"])] if job.get("init") else []


def read(folder: Path) -> RecordedRun:
    """The run in a folder, named from the project's root.

    Raises:
        UserError: there is no run, or it is unfinished or was copied elsewhere, or the folder is that of several seeds.
    """
    described = _described(folder)
    named = layout.run(
        described["experiment"], described["dataset"]["name"], described["student"]["name"], described["variant"],
        described["shot"], described["seed"],
    )  # fmt: skip
    if folder != named:
        raise UserError(
            f"{folder} has the run {named}, according to its config.yaml; move it there, in the project's folder"
        )
    path = layout.journal(folder)
    events = journal.by_run(journal.read(path)).get(described["run_key"], [])
    run = RecordedRun(folder, described, recorded.provenance(folder), events)
    recorded.check_whole(run, "snakemake --cores all")
    return run


def _described(folder: Path) -> dict[str, Any]:
    path = layout.run_config(folder)
    if not folder.is_dir():
        raise UserError(
            f"there is no run {folder}; name the folder of one seed, "
            "runs/EXPERIMENT/DATASET/STUDENT/VARIANT/SHOT/sSEED, or a model, models/NAME, or fetch them: dvc pull"
        )
    if not path.is_file():
        if seeds := sorted(each.parent for each in folder.rglob("config.yaml") if _is_seed(each.parent)):
            raise UserError(f"{folder} has {len(seeds)} runs; name the folder of one seed, such as {seeds[0]}")
        raise UserError(
            f"{folder} is not a finished run: it has no config.yaml; finish it first: snakemake --cores all"
        )
    return recorded.description(folder, KEYS)


def _is_seed(folder: Path) -> bool:
    return folder.name[:1] == "s" and folder.name[1:].isdigit()
