"""The phases of the graph in order, and the jobs of each: the one list that the Snakefile, `sync` and dvc.yaml go by.

What a job is made by is a hash of its configuration, its code, the weights that ship with it and the files that its
models' configuration names. A phase's manifest
records it file by file, so that a result is distinguished from that of another configuration, whatever file times and
Snakemake's own records say.
"""

import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from vlkd_steps.config import extra_evals, jobs, step_code, users_files, weights
from vlkd_steps.config.models.composition import Cell, Composition
from vlkd_steps.core import layout
from vlkd_steps.core.files import digest


@dataclass(frozen=True)
class Job:
    """What one job of the graph makes.

    Attributes:
        outputs: the files that its rule declares.
        config: its ``--config``.
        made_by: hash of its configuration, its code, the weights that ship with it and the user's files for its models.
        beside: files that it leaves beside its outputs; their names depend on the data set, so no rule declares them.
        copied: the user's files that it copies, each with its copy; they are looked for when this is called.
    """

    outputs: tuple[Path, ...]
    config: str
    made_by: str
    beside: tuple[Path, ...] = ()
    copied: Callable[[], Mapping[Path, Path]] = field(default=dict, compare=False)


@dataclass(frozen=True)
class Phase:
    """One phase of the graph.

    Attributes:
        rules: its rules in the Snakefile.
        jobs: its jobs, from the composition.
        bytes: the stages of dvc.yaml that version what it makes, each with the lists of names that it is repeated for;
            without any, the phase's own stage does.
    """

    rules: tuple[str, ...]
    jobs: Callable[[Composition], Iterator[Job]]
    bytes: Mapping[str, Callable[[Composition], dict[str, list[str]]]] = field(default_factory=dict)


def common_sets(c: Composition) -> list[str]:
    """The evaluation sets that all data sets of the grid have: only they can be outputs that a rule declares."""
    first, *others = (c.datasets[name].evaluation_sets for name in c.grid.dataset)
    return [name for name in first if all(name in other for other in others)]


def of_phase(c: Composition, phase: str) -> list[Job]:
    """The jobs of a phase, in the grid's order."""
    return list(PHASES[phase].jobs(c))


def _download(c: Composition) -> Iterator[Job]:
    for source in c.artifacts.source:
        made = [layout.raw_manifest(source)]
        job = _job(made, jobs.download(c, source), step_code.code(c, "download", source=source))
        yield replace(job, copied=functools.partial(users_files.copied, c, source))


def _prepare(c: Composition) -> Iterator[Job]:
    for name in c.artifacts.dataset:
        outputs = [layout.instances(name), layout.labels(name), layout.instances_checksums(name)]
        yield _job(outputs, jobs.prepare(c, name), step_code.code(c, "prepare", dataset=name))


def _split(c: Composition) -> Iterator[Job]:
    for dataset, shot in jobs.train_splits(c):
        cut = [layout.train_split(dataset, shot, seed) for seed in c.grid.seed]
        yield _job(
            [*cut, *map(layout.split_manifest, cut)],
            jobs.split_train(c, dataset, shot),
            step_code.code(c, "split", dataset=dataset),
        )
    for dataset, name in jobs.held_out(c):
        held_out = layout.eval_split(dataset, name)
        yield _job(
            [held_out, layout.split_manifest(held_out)],
            jobs.split_eval(c, dataset, name),
            step_code.code(c, "split", dataset=dataset),
        )


def _pretrain(c: Composition) -> Iterator[Job]:
    for model in c.artifacts.model:
        code = [
            step_code.code(c, "pretrain", model=model),
            weights.of_package_for(c, model),
            users_files.of_model(c, model),
        ]
        outputs = [layout.model_weights(model), layout.model_config(model), layout.model_checksums(model)]
        yield _job(outputs, jobs.pretrain(c, model), *code)


def _extract(c: Composition) -> Iterator[Job]:
    for teacher in c.artifacts.teacher:
        code = [step_code.code(c, "extract", teacher=teacher), weights.of_package(c.teachers[teacher])]
        for dataset in c.grid.dataset:
            given = users_files.of_teacher(c, teacher, dataset)
            yield _job([layout.features_manifest(teacher, dataset)], jobs.extract(c, teacher, dataset), *code, given)


def _targets(c: Composition) -> Iterator[Job]:
    for (dataset, teacher, shot, key), config in jobs.targets(c).items():
        made = [layout.targets(dataset, teacher, shot, seed, key) for seed in c.grid.seed]
        yield _job([*made, *map(layout.targets_checksums, made)], config, step_code.code(c, "targets"))


def _distill(c: Composition) -> Iterator[Job]:
    common = common_sets(c)
    for cell in c.cells:
        dataset, student, variant, _ = cell
        of_dataset = jobs.evaluated_dataset(c, dataset)
        folders = run_folders(c, cell)
        sets = [evaluation.name for evaluation in extra_evals.sets(of_dataset)]
        more = [name for name in sets if name not in common]
        trained = [
            path
            for folder in folders
            for path in (
                layout.run_config(folder),
                folder / "model.safetensors",
                layout.run_checksums(folder, "distill"),
            )
        ]
        yield _job(
            [*trained, *(layout.predictions(folder, name) for folder in folders for name in common)],
            jobs.distill(c, cell),
            step_code.code(c, "distill", dataset=dataset, variant=variant, student=student),
            users_files.of_cell(c, cell),
            beside=[
                extra_evals.of_run(folder, name, of_dataset)
                for folder in folders
                for name in [*more, *extra_evals.measures(of_dataset)]
            ],
        )
        yield _job(
            [
                *(layout.metrics(folder) for folder in folders),
                *(layout.run_checksums(folder, "evaluate") for folder in folders),
                *(layout.scores(folder, name) for folder in folders for name in common),
            ],
            jobs.evaluate(c, cell),
            step_code.code(c, "evaluate", dataset=dataset),
            beside=[layout.scores(folder, name) for folder in folders for name in more],
        )


def _compare(c: Composition) -> Iterator[Job]:
    results = layout.results(c.experiment)
    tables = [results / name for name in ("summary.csv", "gains.csv")]
    headlines = [layout.headline(c.experiment, name) for name in c.grid.dataset]
    listing = layout.results_checksums(c.experiment, "compare")
    yield _job([*tables, *headlines, listing], jobs.compare(c), step_code.code(c, "compare"))
    plots = ("learning_curves.svg", "gains.svg", "loss_curves.svg", "learning_curves.csv")
    page = [results / "report.html", *(results / "plots" / name for name in plots), results / "timings.csv"]
    page.append(layout.results_checksums(c.experiment, "report"))
    yield _job(page, jobs.report(c), step_code.code(c, "report"), step_code.page_templates())


def run_folders(c: Composition, cell: Cell) -> list[Path]:
    """The run directories of one cell of the grid, one for each seed."""
    return [layout.run(c.experiment, *cell, seed=seed) for seed in c.grid.seed]


def _job(
    outputs: list[Path],
    config: Mapping[str, Any],
    *code: str,
    beside: list[Path] | None = None,
) -> Job:
    return Job(
        outputs=tuple(outputs),
        config=jobs.argument(config),
        made_by=digest([config, *code])[:16],
        beside=tuple(beside or ()),
    )


def _names(kind: str) -> Callable[[Composition], dict[str, list[str]]]:
    return lambda c: {kind: getattr(c.artifacts, kind)}


def _with_splits(c: Composition) -> dict[str, list[str]]:
    return {"dataset": list(dict.fromkeys(dataset for dataset, _ in [*jobs.train_splits(c), *jobs.held_out(c)]))}


def _with_targets(c: Composition) -> dict[str, list[str]]:
    return {"dataset": list(dict.fromkeys(dataset for dataset, *_ in jobs.targets(c)))}


def _stores(c: Composition) -> dict[str, list[str]]:
    return {"teacher": c.artifacts.teacher, "dataset": list(c.grid.dataset)}


PHASES = {
    "download": Phase(("download",), _download, {"raw_bytes": _names("source")}),
    "prepare": Phase(("prepare",), _prepare, {"instances_bytes": _names("dataset")}),
    "split": Phase(("split_train", "split_eval"), _split, {"splits_bytes": _with_splits}),
    "pretrain": Phase(("pretrain",), _pretrain, {"model_bytes": _names("model")}),
    "extract": Phase(("extract",), _extract, {"features_bytes": _stores}),
    "targets": Phase(("targets",), _targets, {"targets_bytes": _with_targets}),
    "distill": Phase(("distill", "evaluate"), _distill),
    "compare": Phase(("compare", "report"), _compare),
}
"""In the order in which they run."""
