"""The configuration of each job of the graph: for every rule, the part of the composition that it reads.

A job's configuration is one line of sorted JSON in the rule's ``params:``, so a job runs again exactly
when something that it reads has changed. Settings that cannot affect results (launcher, partition,
number of loader workers) are left out on purpose.
"""

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vlkd_steps import tasks
from vlkd_steps.config import extra_evals, precedence, teacher_names, visual_words
from vlkd_steps.config import targets as of_config
from vlkd_steps.config.models.base import Learned, Model
from vlkd_steps.config.models.composition import Cell, Composition
from vlkd_steps.config.models.extra_evals import ItemsOfASet, Retrieval
from vlkd_steps.config.models.method import declaration
from vlkd_steps.config.models.preset import TeacherPair
from vlkd_steps.config.models.student import Student
from vlkd_steps.config.models.teacher import Files, Teacher
from vlkd_steps.core import components, layout
from vlkd_steps.core.did_you_mean import nearest
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.files import canonical, digest, sha256, write_text
from vlkd_steps.core.fingerprint import fingerprint
from vlkd_steps.sources import local

PACKAGE = Path(__file__).resolve().parent.parent
ARGUMENT_LIMIT = 100_000  # characters; Linux allows 128 KiB for the whole of a shell command
IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png"}
MAX_IMAGES = 2000
WEIGHT_SUFFIXES = (".pt", ".bin", ".safetensors")
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
        "teacher": _without(chosen, "pretrain", "workers", "by_dataset")
        | {key: value for key, value in chosen.by_dataset.get(dataset, {}).items() if key != "workers"},
        "dataset": {"name": conf.name, "task": conf.task, "roles": roles},
    }


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
        of_teacher, wanted = teacher(c, cell.variant), _wanted_targets(c, cell)
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
    conf, of_student = c.datasets[cell.dataset], c.students[cell.student]
    shipped, started_from = shipped_weights(of_student.weights), initial(c, cell)
    return {
        "experiment": c.experiment,
        "dataset": evaluated_dataset(c, cell.dataset) | (_part(conf, *STREAMED) if conf.streamed else {}),
        "student": _without(of_student, "pretrain", "recipe", "by_task")
        | (of_student.by_task or {}).get(conf.task, {})
        | {"pretrained": bool(of_student.pretraining)}
        | ({"shipped": shipped} if shipped else {}),
        "variant": cell.variant,
        **_swept(c, cell.variant),
        "method": precedence.settings(c, cell.variant, conf.task, cell.shot).written(),
        "teacher": teacher(c, cell.variant),
        "shot": cell.shot,
        "seeds": list(c.grid.seed),
        "training": precedence.recipe(c, cell).written(),
        **({"init": started_from._asdict()} if started_from else {}),
    }


def _swept(c: Composition, variant: str) -> dict[str, Any]:
    """Of a variant that a sweep made, what it is called and what it is tracked with; it changes no result."""
    if variant not in c.members:
        return {}
    member = c.members[variant]
    return {"swept": {"variant": member.variant, "label": member.label, "values": dict(member.swept)}}


def evaluated_dataset(c: Composition, dataset: str) -> dict[str, Any]:
    """The part of a data set's configuration that a job reads, with the extra evaluations of its runs: of these also
    their items' task and training split."""
    extra = {}
    for name, conf in c.extra_evals.get(dataset, {}).items():
        extra[name] = conf.written()
        if of := c.datasets.get(getattr(conf, "dataset", "")):
            train = of.roles.get("train")
            extra[name] |= {"task": of.task, "train": train.split if train else None}
    own = _part(c.datasets[dataset], "name", "task", "evaluation_sets")
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
    return [str(path) for path in (*read, *(layout.eval_split(*pair) for pair in pairs), *own)]


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


def teacher(c: Composition, variant: str) -> dict[str, Any] | None:
    """``name, kind`` of a variant's teacher; of two teachers their joined name, and each under its role."""
    chosen = c.variants[variant]
    if isinstance(chosen.teacher, str) and not declaration(chosen.method).classifies:
        return _without(c.teachers[chosen.teacher], "pretrain", "workers")  # it reads images that are not in the store
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
    """As `compare`, the highlighted variant, and what was swept."""
    swept = {name: _swept(c, name)["swept"] for name in c.grid.variant if name in c.members}
    highlighted = {"highlight": c.preset.highlight} if c.preset.highlight in c.grid.variant else {}
    return compare(c) | highlighted | ({"swept": swept} if swept else {})


def page_templates() -> str:
    """A hash of the page's templates, which code fingerprints do not cover."""
    return digest({path.name: sha256(path) for path in sorted((PACKAGE / "templates").iterdir())})


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


def code(c: Composition, step: str, **chosen: str) -> str:
    """The fingerprint of a step with the modules that its configuration chooses by name."""
    module = components.module_name
    modules = [f"vlkd_steps.steps.{step}"]
    if "source" in chosen:
        source = c.sources[chosen["source"]]
        modules.append(module("source", source.kind))
        modules += [module("reader", convert)] if (convert := getattr(source, "convert", None)) else []
    if step == "prepare":
        modules.append(module("reader", c.datasets[chosen["dataset"]].reader))
    modules += task_modules(c, step, chosen.get("dataset"))
    if "variant" in chosen:
        method = c.variants[chosen["variant"]].method
        modules += [*components.code_of("method", method), declaration(method).run_module]
    if "student" in chosen:
        modules += student_modules(c.students[chosen["student"]])
    if "teacher" in chosen:
        modules.append(module("teacher", c.teachers[chosen["teacher"]].kind))
    if "model" in chosen:
        learned = c.learned(chosen["model"])
        modules.append(module("pretraining", learned.kind))
        modules += student_modules(learned) if isinstance(learned, Student) else [module("teacher", learned.kind)]
    try:
        return fingerprint(*modules)
    except ModuleNotFoundError as error:
        raise UserError(f"the configuration of step {step} names code that does not exist: {error}") from error


def task_modules(c: Composition, step: str, dataset: str | None) -> list[str]:
    """The tasks that a step works on, with their metrics if it scores, so a changed metric causes no retraining."""
    read = [dataset] if dataset else c.grid.dataset if step in ("compare", "report") else []
    if step in ("prepare", "split"):
        names = {c.datasets[name].task for name in read}
    else:
        names = {task for name in read for task in extra_evals.tasks_of(evaluated_dataset(c, name))}
    scored = {tasks.load(name).metric for name in names} - {""} if step == "evaluate" else set()
    found = [components.module_name("task", name) for name in sorted(names)]
    return found + [components.module_name("metric", name) for name in sorted(scored)]


def student_modules(conf: Student) -> list[str]:
    """A student's architecture and, if its vocabulary is built in, the module of the words."""
    return [components.module_name("student", conf.kind), *vocabulary_modules(conf.vocabulary)]


def vocabulary_modules(words: str | None) -> list[str]:
    """The module of a student's words, if they are built in."""
    return [components.module_name("vocabulary", words)] if words and not words.endswith(".txt") else []


def incoming(c: Composition, source: str) -> list[str]:
    """The user's own files that a local source copies: inputs of its download, so that an edit is noticed.

    Listing more than `MAX_IMAGES` images would make every parse slow; then `listing` replaces them.
    """
    others, images = _chosen(c, source)
    return [str(path) for path in others + (images if len(images) <= MAX_IMAGES else [])]


def listing(c: Composition, source: str) -> str:
    """A hash over names, sizes and times of the user's files that a local source copies.

    A file that kept its old modification time, or was edited while it was copied, is older than the copy, so by times
    alone Snakemake would consider the copy up to date.
    """
    others, images = _chosen(c, source)
    found = [(path, path.stat()) for path in others + images]
    return digest([[str(path), stat.st_size, stat.st_mtime_ns] for path, stat in found]) if found else ""


def missing(c: Composition) -> dict[str, dict[str, str]]:
    """The data that the user has to provide and that is missing, and what to do about it.

    Returns:
        By the rule that reads it first, what is missing: ``download`` by source, ``extract`` by teacher and data set,
        ``distill`` by student.
    """
    found: dict[str, dict[str, str]] = {"download": {}, "extract": {}, "distill": {}}
    for name in c.artifacts.source:
        if c.sources[name].kind == "local":
            try:
                local.chosen(c.sources[name].written())
            except UserError as error:
                found["download"][name] = str(error)
    for name in c.artifacts.teacher:
        for dataset in c.grid.dataset:
            if not layout.features_manifest(name, dataset).is_file() and (absent := _absent(c.teachers[name], dataset)):
                found["extract"][f"{name} {dataset}"] = (
                    f"{', '.join(absent)}: missing; put the files of regions {name} there, or set their path "
                    f"in conf/teacher/{name}.yaml"
                )
    of_grid = dict.fromkeys(c.datasets[dataset].task for dataset in c.grid.dataset)
    for name in c.grid.student:
        conf = c.students[name]
        parts = [(conf.by_task or {}).get(task, {}) for task in of_grid]
        named = dict.fromkeys(str(part.get("weights", conf.weights) or "") for part in parts)
        if absent := [path for path in named if path.endswith(WEIGHT_SUFFIXES) and not Path(path).is_file()]:
            found["distill"][name] = (
                f"{', '.join(absent)}: missing; put the weights of student {name} there, or set their path "
                f"in conf/student/{name}.yaml"
            )
    return found


def _absent(conf: Teacher, dataset: str) -> list[str]:
    """The files of regions that a configuration names for a data set and that do not exist."""
    if not isinstance(conf, Files):
        return []
    whole = conf.written() | conf.by_dataset.get(dataset, {})
    parts = (whole, *(whole.get("parts") or ()))
    return [path for part in parts for path in part.get("files") or () if not Path(path).exists()]


def missing_message(experiment: str, found: Mapping[str, Mapping[str, str]]) -> str:
    """All missing data in one message."""
    lines = "\n".join(f"  {text}" for of_rule in found.values() for _, text in sorted(of_rule.items()))
    return f"experiment {experiment} reads data that you have to provide, and that is missing:\n{lines}"


def _chosen(c: Composition, source: str) -> tuple[list[Path], list[Path]]:
    paths = []
    if c.sources[source].kind == "local":
        with contextlib.suppress(UserError):  # `missing` reports all of them at once
            paths = local.chosen(c.sources[source].written())
    images = [path for path in paths if path.suffix.lower() in IMAGE_SUFFIXES]
    return [path for path in paths if path not in set(images)], images


def pretrain_inputs(c: Composition, model: str) -> list[str]:
    """The corpus that a pre-trained model reads and the weights that it starts from, where it has them."""
    making = c.learned(model).pretraining
    inputs = [str(layout.instances(making["corpus"]))] if making.get("corpus") else []
    return inputs + (made_weights(c.teachers[making["init"]]) if making.get("init") else [])


def made_weights(conf: Learned) -> list[str]:
    """The weights of a teacher or student that `pretrain` makes; empty if they are shipped or downloaded."""
    return [str(layout.model_weights(conf.name))] if conf.pretraining else []


def starting_weights(c: Composition, model: str) -> str:
    """`of_package` for the teacher that a pre-training starts from."""
    init = c.learned(model).pretraining.get("init")
    return of_package(c.teachers[init]) if init else ""


def of_package(conf: Teacher) -> str:
    """A hash of the files, beside code, of a teacher shipped with the package: weights, architecture and tokenizer."""
    weights = shipped_weights(getattr(conf, "weights", None))
    if not weights:
        return ""
    folders = (PACKAGE / "assets" / "open_clip", PACKAGE / "assets" / "scenes_tokenizer")
    return digest([weights, [[path.name, sha256(path)] for folder in folders for path in sorted(folder.iterdir())]])


def shipped_weights(named: str | None) -> str:
    """sha256 of weights shipped with the package, which code fingerprints do not cover."""
    weights = named or ""
    path = PACKAGE / "assets" / weights.removeprefix("asset:")
    if not weights.startswith("asset:") or not path.exists():
        return ""
    return sha256(path) if path.is_file() else digest({each.name: sha256(each) for each in sorted(path.iterdir())})


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
    if len(text) < ARGUMENT_LIMIT:
        return text
    path = Path(".snakemake") / "configurations" / f"{digest(config)}.json"
    if not path.exists():
        write_text(path, text)
    return f"@{path}"


def check_arguments(config: Mapping[str, Any]) -> None:
    """Refuse an unknown key of ``snakemake --config``."""
    for key in config:
        if key != "experiment":
            raise UserError(
                f"--config {key}=... is not a known key; {nearest(key, ['experiment'])} "
                "Everything else is set in params.yaml."
            )
