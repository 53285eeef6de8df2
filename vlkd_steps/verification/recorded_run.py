"""A finished run as its folder records it: configuration, outputs, provenance, losses."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from vlkd_steps.config import extra_evals
from vlkd_steps.core import files, layout
from vlkd_steps.core.errors import UserError
from vlkd_steps.runs.run_dir import byte_relevant, job_of
from vlkd_steps.tracking import journal


@dataclass(frozen=True)
class RecordedRun:
    """One seed's run.

    Attributes:
        folder: the run folder, from the project's root.
        described: what its config.yaml holds.
        provenance: what its provenance.json holds; empty where there is none.
        events: of its journal those of this run; empty where there is no journal.
    """

    folder: Path
    described: Mapping[str, Any]
    provenance: Mapping[str, Any]
    events: list[journal.Event]

    @property
    def job(self) -> dict[str, Any]:
        """The `distill` job, with this seed alone, that trains it again."""
        return job_of(self.described)

    @property
    def own(self) -> dict[str, Any]:
        """The job with ``seed`` instead of ``seeds``, as `runs.run_dir.RunDir` has it."""
        return {key: value for key, value in self.job.items() if key != "seeds"} | {"seed": self.described["seed"]}

    @property
    def start(self) -> Mapping[str, Any]:
        """The last ``start`` of its journal: parameters, digests of the evaluation sets."""
        starts = [event for event in self.events if event["event"] == "start"]
        return starts[-1] if starts else {}

    def outputs(self) -> list[Path]:
        """All outputs of training and scoring, relative to the run directory: model, predictions, scores, metrics."""
        trained, scored = [Path("model.safetensors"), *self._exported(), *self._predictions()], []
        if layout.metrics(self.folder).is_file():
            sets = [evaluation.name for evaluation in extra_evals.sets(self.described["dataset"])]
            scored = [layout.scores(Path(), name) for name in sets] + [layout.metrics(Path())]
        return trained + scored

    def _exported(self) -> Iterator[Path]:
        folder = self.folder / "exported"
        yield from (path.relative_to(self.folder) for path in sorted(folder.rglob("*")) if path.is_file())

    def _predictions(self) -> Iterator[Path]:
        dataset = self.described["dataset"]
        names = [evaluation.name for evaluation in extra_evals.sets(dataset)] + list(extra_evals.measures(dataset))
        yield from (extra_evals.of_run(Path(), name, dataset) for name in names)

    def edited(self) -> bool:
        """Whether config.yaml was changed after training: its content key no longer matches."""
        made_of = {"config": byte_relevant(self.own), **self.described["made_of"]}
        return files.digest(json.loads(files.canonical(made_of))) != self.described["content_key"]


def read(folder: Path) -> RecordedRun:
    """The run in a folder, named from the project's root.

    Raises:
        UserError: no run, an unfinished one, the folder of several seeds, a run that was copied elsewhere.
    """
    described = _described(folder)
    named = layout.run(
        described["experiment"], described["dataset"]["name"], described["student"]["name"], described["variant"],
        described["shot"], described["seed"],
    )  # fmt: skip
    if folder != named:
        raise UserError(
            f"{folder} holds the run {named}, says its config.yaml; call it by that name, in the project's folder"
        )
    path = layout.journal(folder)
    run = RecordedRun(
        folder,
        described,
        _json(layout.provenance(folder)),
        journal.by_run(journal.read(path)).get(described["run_key"], []),
    )
    if missing := [name for name in run.outputs() if not (folder / name).is_file()]:
        raise UserError(
            f"{folder} is not finished: {', '.join(map(str, missing[:3]))} is missing; finish the run (snakemake "
            "--cores all), or fetch its files (dvc pull)"
        )
    return run


def _described(folder: Path) -> dict[str, Any]:
    path = layout.run_config(folder)
    if not folder.is_dir():
        raise UserError(
            f"there is no run {folder}; name the folder of one seed, "
            "runs/EXPERIMENT/DATASET/STUDENT/VARIANT/SHOT/sSEED, or fetch the runs: dvc pull"
        )
    if (folder / "model.safetensors").is_file() and folder.parent == layout.model(folder.name).parent:
        raise UserError(
            f"{folder} is a model that `pretrain` made: only runs are verified; name one that starts from it"
        )
    if not path.is_file():
        if seeds := sorted(each.parent for each in folder.rglob("config.yaml") if _is_seed(each.parent)):
            raise UserError(f"{folder} holds {len(seeds)} runs; name the folder of one seed, such as {seeds[0]}")
        raise UserError(f"{folder} is no finished run: it has no config.yaml; finish it first: snakemake --cores all")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        return {**content, "made_of": dict(content["made_of"])}
    except (OSError, UnicodeDecodeError, yaml.YAMLError, TypeError, KeyError) as error:
        raise UserError(
            f"{path} cannot be read ({' '.join(str(error).split())}); bring it back: dvc checkout"
        ) from None


def _is_seed(folder: Path) -> bool:
    return folder.name[:1] == "s" and folder.name[1:].isdigit()


def _json(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise UserError(f"{path} is not JSON ({error}); bring it back: dvc checkout") from error
    return found
