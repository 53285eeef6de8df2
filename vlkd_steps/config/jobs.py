"""The configuration of each job of the graph: for every rule, the part of the composition that it reads.

A job's configuration is one line of sorted JSON in the rule's ``params:``, so a job runs again exactly
when something that it reads has changed. Settings that cannot affect results (launcher, partition,
number of loader workers) are left out on purpose.
"""

import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from vlkd_steps.config import extra_evals, precedence, teacher_names, visual_words
from vlkd_steps.config import targets as of_config
from vlkd_steps.config.models.base import Model
from vlkd_steps.config.models.composition import Cell, Composition
from vlkd_steps.config.models.extra_evals import ItemsOfASet, Retrieval
from vlkd_steps.config.models.method import declaration
from vlkd_steps.config.models.preset import TeacherPair
from vlkd_steps.config.models.teacher import Teacher
from vlkd_steps.core import layout, package_assets
from vlkd_steps.core.did_you_mean import nearest
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.files import canonical, digest, write_text

ARGUMENT_LIMIT = 100_000  # bytes, quoted for the shell; Linux allows 128 KiB for the whole of a shell command
STREAMED = (
    "source",
    "shards",
    "tsv",
    "images",
    "image_name",
    "max_skipped",
)  # of a corpus that is streamed in training


def download(c: Composition, source: str) -> dict[str, Any]:
    return {"source": _without(c.sources[source], "about_gb")}


def prepare(c: Composition, dataset: str) -> dict[str, Any]:
    keys = ("name", "task", "source", "image_source", "reader", "files", "image_name", "vocabulary", "labels")
    more = ("group", "multiple_choice_answer", "resplit", "shards", "tsv", "images", "max_skipped", "columns")
    return {"dataset": _part(c.datasets[dataset], *keys, *more)}


def split_train(c: Composition, dataset: str, shot: str) -> dict[str, Any]:
    return {"role": "train", "dataset": _cut(c, dataset), "shots": [str(shot)], "seeds": list(c.grid.seed)}


def split_eval(c: Composition, dataset: str, evaluation_set: str) -> dict[str, Any]:
    return {"role": "eval", "dataset": _cut(c, dataset) | {"evaluation_sets": [evaluation_set]}}


def _cut(c: Composition, dataset: str) -> dict[str, Any]:
    return _part(c.datasets[dataset], "name", "task", "roles", "sizes", "allow_leaks")


def pretrain(c: Composition, model: str) -> dict[str, Any]:
    return {"model": _without(c.learned(model), "recipe")}


def extract(c: Composition, teacher: str, dataset: str) -> dict[str, Any]:
    conf, chosen = c.datasets[dataset], c.teachers[teacher]
    roles = {name: role.written() for name, role in conf.roles.items() if chosen.splits == "used" or name == "train"}
    return {
        "teacher": _of_dataset(chosen, dataset),
        "dataset": {"name": conf.name, "task": conf.task, "roles": roles},
    }


def _of_dataset(conf: Teacher, dataset: str) -> dict[str, Any]:
    """What features of a data set depend on in a teacher's configuration."""
    whole = _without(conf, "pretrain", "by_dataset") | conf.by_dataset.get(dataset, {})
    return {key: value for key, value in whole.items() if key != "workers" and value is not None}


def readers(c: Composition, teacher: str, dataset: str) -> str:
    """The resource ``loader_workers`` of a job in which a teacher reads images, by the teacher's ``workers``."""
    chosen = c.teachers[teacher]
    return str(chosen.by_dataset.get(dataset, {}).get("workers", chosen.workers) or "")


def readers_of_a_run(c: Composition, cell: Cell) -> str:
    """As `readers`, of a run in which a teacher reads images; empty where features are read."""
    chosen = c.variants[cell.variant]
    reads = isinstance(chosen.teacher, str) and not declaration(chosen.method).classifies
    return readers(c, str(chosen.teacher), cell.dataset) if reads else ""


def targets(c: Composition) -> dict[tuple[str, str, str, str], dict[str, Any]]:
    """The jobs of the phase, by data set, teacher (two by their joint name), shot and key (`config.targets`)."""
    found = {}
    for cell in c.cells:
        of_teacher, wanted = teacher(c, cell), _wanted_targets(c, cell)
        if of_teacher and wanted:
            found[cell.dataset, of_teacher["name"], cell.shot, of_config.key(wanted)] = {
                "dataset": _part(c.datasets[cell.dataset], "name") | _visual_words(c, cell.dataset, wanted),
                "teacher": of_teacher,
                "shot": cell.shot,
                "seeds": list(c.grid.seed),
                "targets": wanted,
            }
    return found


def _visual_words(c: Composition, dataset: str, wanted: Mapping[str, Any]) -> dict[str, list[str]]:
    """What a selection of words is measured by, where the data set says it."""
    words = visual_words.of(c.datasets[dataset]) if wanted["words"] else []
    return {"visual_words": words} if words else {}


def targets_of_a_run(c: Composition, cell: Cell) -> list[str]:
    """The files of targets that the runs of a cell read, one for each seed; none where the method needs none."""
    name, wanted = teacher_names.joined(c.variants[cell.variant].teachers), _wanted_targets(c, cell)
    if not name or not wanted:
        return []
    key = of_config.key(wanted)
    return [str(layout.targets(cell.dataset, name, cell.shot, seed, key)) for seed in c.grid.seed]


def _wanted_targets(c: Composition, cell: Cell) -> dict[str, Any] | None:
    return of_config.wanted(precedence.settings(c, cell.variant, c.datasets[cell.dataset].task, cell.shot))


def distill(c: Composition, cell: Cell) -> dict[str, Any]:
    conf, of_student = c.datasets[cell.dataset], student(c, cell.student, c.datasets[cell.dataset].task)
    shipped, started_from = package_assets.of(of_student.get("weights")), initial(c, cell)
    return {
        "experiment": c.experiment,
        "dataset": evaluated_dataset(c, cell.dataset) | (_part(conf, *STREAMED) if conf.streamed else {}),
        "student": of_student | ({"shipped": shipped} if shipped else {}),
        "variant": cell.variant,
        **_swept(c, cell.variant),
        "method": precedence.settings(c, cell.variant, conf.task, cell.shot).written(),
        "teacher": teacher(c, cell),
        "shot": cell.shot,
        "seeds": list(c.grid.seed),
        "training": precedence.recipe(c, cell).written(),
        **({"init": started_from._asdict()} if started_from else {}),
    }


def student(c: Composition, name: str, task: str) -> dict[str, Any]:
    """A student's configuration for a task."""
    conf = c.students[name]
    own = _without(conf, "pretrain", "recipe", "by_task") | (conf.by_task or {}).get(task, {})
    return own | {"pretrained": bool(conf.pretraining)}


def _swept(c: Composition, variant: str) -> dict[str, Any]:
    """Of a variant that a sweep made, what it is called and what it is tracked with; it changes no result."""
    if variant not in c.members:
        return {}
    member = c.members[variant]
    return {"swept": {"variant": member.variant, "label": member.label, "values": dict(member.swept)}}


def evaluated_dataset(c: Composition, dataset: str) -> dict[str, Any]:
    """The part of a data set's configuration that a job reads, with the extra evaluations of its runs: of these also
    their items' task and training split; of its own the latter where it is not called ``train``."""
    extra = {}
    for name, conf in c.extra_evals.get(dataset, {}).items():
        extra[name] = conf.written()
        if of := c.datasets.get(getattr(conf, "dataset", "")):
            train = of.roles.get("train")
            extra[name] |= {"task": of.task, "train": train.split if train else None}
    trained_on = c.datasets[dataset]
    own = _part(trained_on, "name", "task", "evaluation_sets")
    if "train" in trained_on.roles and trained_on.roles["train"].split != "train":
        own["train"] = trained_on.roles["train"].split
    return own | ({"extra_evals": extra} if extra else {})


def extra_splits(c: Composition, dataset: str) -> list[tuple[str, str]]:
    """The (data set, evaluation set) of the extra evaluations of runs on `dataset`, each once."""
    extra = c.extra_evals.get(dataset, {}).values()
    return list(dict.fromkeys((conf.dataset, conf.set) for conf in extra if isinstance(conf, ItemsOfASet | Retrieval)))


def held_out(c: Composition) -> list[tuple[str, str]]:
    """Every (data set, evaluation set) that some run is evaluated on."""
    own = [(name, each) for name in c.grid.dataset for each in c.datasets[name].evaluation_sets]
    return list(dict.fromkeys(own + [pair for name in c.grid.dataset for pair in extra_splits(c, name)]))


def extra_eval_files(c: Composition, dataset: str) -> list[str]:
    """The input files of the extra evaluations of runs on `dataset`."""
    pairs = extra_splits(c, dataset)
    of_sets = dict.fromkeys(name for name, _ in pairs)
    read = [path(name) for name in of_sets for path in (layout.instances, layout.labels)]
    own = [path for conf in c.extra_evals.get(dataset, {}).values() for path in extra_evals.own_files(conf.written())]
    return inputs([*read, *(layout.eval_split(*pair) for pair in pairs), *own])


def inputs(paths: Iterable[Path]) -> list[str]:
    """Paths as inputs of a rule, without those in whose names Snakemake would find a wildcard, as in photo{1}.jpg; the
    user's files are parameters of their jobs too (`users_files`)."""
    return [name for name in map(str, paths) if "{" not in name]


def initial(c: Composition, cell: Cell) -> Cell | None:
    """The runs, one for each seed, whose models a variant starts from by ``init: <variant>``: their cell of the grid.

    They are the runs of that variant, with the same student, that do not start from other runs themselves.

    Raises:
        UserError: the grid has no such run, or more than one.
    """
    named = _started_from(c, cell.dataset, cell.variant)
    if not named:
        return None
    found = [
        each
        for each in c.cells
        if (each.student, each.variant) == (cell.student, named) and not _started_from(c, each.dataset, named)
    ]
    if len(found) != 1:
        raise UserError(
            f"experiment {c.experiment}: variants.{cell.variant} has init: {named} on {cell.dataset}, and the grid "
            f"holds {len(found)} runs of {named} with {cell.student} that start from nothing; it must hold one"
        )
    return found[0]


def _started_from(c: Composition, dataset: str, variant: str) -> str | None:
    chosen = c.variants[variant]
    return chosen.of_task(c.datasets[dataset].task).init or chosen.init


def check_initial(c: Composition) -> None:
    """Check before any job that every run of the grid has its initial model (`initial`)."""
    for cell in c.cells:
        initial(c, cell)


def initial_models(c: Composition, cell: Cell) -> list[str]:
    """The models of `initial`, one for each seed."""
    start = initial(c, cell)
    folders = [layout.run(c.experiment, *start, seed=seed) for seed in c.grid.seed] if start else []
    return [str(folder / "model.safetensors") for folder in folders]


def teacher(c: Composition, cell: Cell) -> dict[str, Any] | None:
    """``name, kind`` of the teacher of a cell's variant; of two teachers their joined name, and each under its role."""
    chosen = c.variants[cell.variant]
    if isinstance(chosen.teacher, str) and not declaration(chosen.method).classifies:
        return _of_dataset(c.teachers[chosen.teacher], cell.dataset)  # it reads images that are not in the store
    parts = {name: _part(c.teachers[name], "name", "kind") for name in chosen.teachers}
    if isinstance(chosen.teacher, TeacherPair) and len(parts) == 2:
        return {"name": teacher_names.joined(chosen.teachers), **{role: parts[name] for role, name in chosen.teacher}}
    return next(iter(parts.values()), None)


def evaluate(c: Composition, cell: Cell) -> dict[str, Any]:
    return {
        "experiment": c.experiment,
        **cell._asdict(),
        "dataset": evaluated_dataset(c, cell.dataset),
        "seeds": list(c.grid.seed),
    }


def compare(c: Composition) -> dict[str, Any]:
    datasets = [evaluated_dataset(c, name) for name in c.grid.dataset]
    return {"experiment": c.experiment, "datasets": datasets, "runs": runs(c), "reference": c.preset.reference}


def report(c: Composition) -> dict[str, Any]:
    """As `compare`, the highlighted variant, what was swept, and the words by which token selection is measured."""
    swept = {name: _swept(c, name)["swept"] for name in c.grid.variant if name in c.members}
    highlighted = {"highlight": c.preset.highlight} if c.preset.highlight in c.grid.variant else {}
    words = {name: digest(found) for name in c.grid.dataset if (found := visual_words.of(c.datasets[name]))}
    more = {"swept": swept} if swept else {}
    return compare(c) | highlighted | more | ({"visual_words": words} if words else {})


def train_splits(c: Composition) -> list[tuple[str, str]]:
    """The (dataset, shot) that some run trains on, in the grid's order."""
    return list(dict.fromkeys((cell.dataset, cell.shot) for cell in c.cells))


def runs(c: Composition) -> list[dict[str, Any]]:
    """Every training run of the grid, in the grid's order."""
    return [
        {
            **cell._asdict(),
            "teacher": teacher_names.joined(c.variants[cell.variant].teachers),
            "method": c.variants[cell.variant].method,
            "seed": seed,
        }
        | ({"label": c.label(cell.variant)} if c.members else {})
        | _part(c.students[cell.student], "regions")
        | ({"targets": of_config.key(wanted)} if (wanted := _wanted_targets(c, cell)) else {})
        for cell in c.cells
        for seed in c.grid.seed
    ]


def features_of(c: Composition, variant: str, dataset: str) -> list[str]:
    return [str(layout.features_manifest(name, dataset)) for name in c.variants[variant].teachers]


def regions_of(c: Composition, student: str, dataset: str) -> list[str]:
    """The regions of a data set that a student reads; empty for one that reads pixels."""
    extractor = c.students[student].regions
    return [str(layout.features_manifest(extractor, dataset))] if extractor else []


def _part(conf: Model, *keys: str) -> dict[str, Any]:
    return {key: value for key, value in conf.written().items() if key in keys}


def _without(conf: Model, *keys: str) -> dict[str, Any]:
    return {key: value for key, value in conf.written().items() if key not in keys}


def argument(config: Mapping[str, Any]) -> str:
    """A configuration as a step's ``--config``: its JSON or, where that is too long for a command, @FILE with it."""
    text = canonical(config)
    if len(shlex.quote(text).encode()) < ARGUMENT_LIMIT:
        return text
    path = Path(".snakemake") / "configurations" / f"{digest(config)}.json"
    if not path.exists():
        write_text(path, text)
    return f"@{path}"


def check_arguments(config: Mapping[str, Any]) -> None:
    """Refuse an unknown key of ``snakemake --config``, and a name that Snakemake has read as a number.

    Raises:
        UserError: there is one.
    """
    for key in config:
        if key != "experiment":
            raise UserError(
                f"--config {key}=... is not a known key; {nearest(key, ['experiment'])}; everything else is set in "
                "params.yaml"
            )
    name = config.get("experiment")
    if name is not None and not isinstance(name, str):
        raise UserError(
            f"Snakemake reads the name in --config experiment=NAME as the value {name}; write: "
            "--config 'experiment=!!str NAME', or use: vlkd run NAME"
        )
