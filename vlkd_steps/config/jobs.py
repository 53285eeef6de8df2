"""The configuration of each job of the graph: for every rule, the part of the composition that it reads.

A job's configuration is one line of sorted JSON in the rule's ``params:``, so a job runs again exactly
when something that it reads has changed. Settings that cannot affect results (launcher, partition,
number of loader workers) are left out on purpose.
"""

import contextlib
import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vlkd_steps import tasks
from vlkd_steps.config import extra_evals, precedence, teacher_names
from vlkd_steps.config.models.method import declaration
from vlkd_steps.core import components, layout
from vlkd_steps.core.did_you_mean import nearest
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.files import canonical, digest, sha256, write_text
from vlkd_steps.core.fingerprint import fingerprint
from vlkd_steps.sources import local

Composition = Mapping[str, Any]
PACKAGE = Path(__file__).resolve().parent.parent
ARGUMENT_LIMIT = 100_000  # characters; Linux allows 128 KiB for the whole of a shell command
IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png"}
MAX_IMAGES = 2000
WEIGHT_SUFFIXES = (".pt", ".bin", ".safetensors")
CELL = ("dataset", "student", "variant", "shot")
STREAMED = ("source", "shards", "tsv", "images", "image_name")  # of a corpus that is streamed in training


def download(c: Composition, source: str) -> dict[str, Any]:
    return {"source": _without(c["sources"][source], "about_gb")}


def prepare(c: Composition, dataset: str) -> dict[str, Any]:
    keys = ("name", "task", "source", "image_source", "reader", "files", "image_name", "vocabulary", "labels")
    more = ("group", "multiple_choice_answer", "resplit", "shards", "tsv", "images")
    return {"dataset": _part(c["datasets"][dataset], *keys, *more)}


def sources_of(c: Composition, dataset: str) -> list[str]:
    """The sources that a data set is read from: its records', and its images' where they are shared."""
    conf = c["datasets"][dataset]
    return sorted({conf["source"], conf.get("image_source") or conf["source"]})


def split_train(c: Composition, dataset: str, shot: str) -> dict[str, Any]:
    part = _part(c["datasets"][dataset], "name", "task", "roles", "sizes", "allow_leaks")
    return {"role": "train", "dataset": part, "shots": [str(shot)], "seeds": list(c["grid"]["seed"])}


def split_eval(c: Composition, dataset: str, evaluation_set: str) -> dict[str, Any]:
    part = _part(c["datasets"][dataset], "name", "task", "roles", "sizes", "allow_leaks")
    return {"role": "eval", "dataset": {**part, "evaluation_sets": [evaluation_set]}}


def pretrain(c: Composition, model: str) -> dict[str, Any]:
    group = "teachers" if model in c["teachers"] else "students"
    return {"model": _without(c[group][model], "recipe")}


def extract(c: Composition, teacher: str, dataset: str) -> dict[str, Any]:
    conf, chosen = c["datasets"][dataset], c["teachers"][teacher]
    roles = conf["roles"] if chosen.get("splits") == "used" else _part(conf["roles"], "train")
    return {
        "teacher": _without(chosen, "pretrain", "workers", "by_dataset")
        | ((chosen.get("by_dataset") or {}).get(dataset) or {}),
        "dataset": _part(conf, "name", "task") | {"roles": roles},
    }


def distill(c: Composition, dataset: str, student: str, variant: str, shot: str) -> dict[str, Any]:
    conf, of_student = c["datasets"][dataset], c["students"][student]
    shipped, started_from = shipped_weights(of_student), initial(c, dataset, student, variant)
    return {
        "experiment": c["experiment"],
        "dataset": evaluated_dataset(c, dataset) | (_part(conf, *STREAMED) if streamed(conf) else {}),
        "student": _without(of_student, "pretrain", "recipe", "by_task")
        | ((of_student.get("by_task") or {}).get(conf["task"]) or {})
        | {"pretrained": bool(of_student.get("pretrain"))}
        | ({"shipped": shipped} if shipped else {}),
        "variant": variant,
        "method": precedence.settings(c, variant, conf["task"]),
        "teacher": teacher(c, variant),
        "shot": str(shot),
        "seeds": list(c["grid"]["seed"]),
        "training": precedence.recipe(c, variant, conf["task"], student, shot),
        **({"init": started_from} if started_from else {}),
    }


def streamed(conf: Mapping[str, Any]) -> bool:
    """Whether a data set is a corpus in shards, whose pairs are streamed in training."""
    return bool(conf.get("shards") or conf.get("tsv"))


def evaluated_dataset(c: Composition, dataset: str) -> dict[str, Any]:
    """The part of a data set's configuration that a job reads, with the extra evaluations of its runs."""
    extra = extra_evals.of_dataset(c, dataset)
    return _part(c["datasets"][dataset], "name", "task", "evaluation_sets") | ({"extra_evals": extra} if extra else {})


def held_out(c: Composition) -> list[tuple[str, str]]:
    """Every (data set, evaluation set) that some run is evaluated on."""
    own = [(name, each) for name in c["grid"]["dataset"] for each in c["datasets"][name]["evaluation_sets"]]
    return list(dict.fromkeys(own + [pair for name in c["grid"]["dataset"] for pair in extra_evals.splits(c, name)]))


def extra_eval_files(c: Composition, dataset: str) -> list[str]:
    """The input files of the extra evaluations of runs on `dataset`."""
    pairs = extra_evals.splits(c, dataset)
    of_sets = dict.fromkeys(name for name, _ in pairs)
    read = [path(name) for name in of_sets for path in (layout.instances, layout.labels)]
    own = [
        path for evaluation in extra_evals.of_dataset(c, dataset).values() for path in extra_evals.own_files(evaluation)
    ]
    return [str(path) for path in (*read, *(layout.eval_split(*pair) for pair in pairs), *own)]


def initial(c: Composition, dataset: str, student: str, variant: str) -> dict[str, str] | None:
    """The runs, one for each seed, whose models a variant starts from by ``init: <variant>``: their cell of the grid.

    They are the runs of that variant, with the same student, that do not start from other runs themselves.

    Raises:
        UserError: the grid has no such run, or more than one.
    """
    named = _started_from(c, dataset, variant)
    if not named:
        return None
    found = [cell for cell in cells(c) if cell[1:3] == (student, named) and not _started_from(c, cell[0], named)]
    if len(found) != 1:
        raise UserError(
            f"experiment {c['experiment']}: variants.{variant} has init: {named} on {dataset}, and the grid holds "
            f"{len(found)} runs of {named} with {student} that start from nothing; it must hold one"
        )
    return dict(zip(CELL, found[0], strict=True))


def _started_from(c: Composition, dataset: str, variant: str) -> str | None:
    chosen, task = c["variants"][variant], c["datasets"][dataset]["task"]
    named: str | None = ((chosen.get("by_task") or {}).get(task) or {}).get("init") or chosen.get("init")
    return named


def check_initial(c: Composition) -> None:
    """Check before any job that every run of the grid has its initial model (`initial`)."""
    for dataset, student, variant, _ in cells(c):
        initial(c, dataset, student, variant)


def initial_models(c: Composition, dataset: str, student: str, variant: str) -> list[str]:
    """The models of `initial`, one for each seed."""
    cell = initial(c, dataset, student, variant)
    folders = [layout.run(c["experiment"], **cell, seed=seed) for seed in c["grid"]["seed"]] if cell else []
    return [str(folder / "model.safetensors") for folder in folders]


def teacher(c: Composition, variant: str) -> dict[str, Any] | None:
    """``name, kind`` of a variant's teacher; of two teachers their joined name, and each under its role."""
    chosen = c["variants"][variant].get("teacher")
    if declaration(c["variants"][variant]["method"]).runner != "classify" and isinstance(chosen, str):
        return _without(c["teachers"][chosen], "pretrain", "workers")  # it reads images that are not in the store
    parts = [_part(c["teachers"][name], "name", "kind") for name in teacher_names.names(chosen)]
    if len(parts) < 2:
        return parts[0] if parts else None
    return {"name": teacher_names.joined(chosen), **dict(zip(teacher_names.ROLES, parts, strict=True))}


def evaluate(c: Composition, dataset: str, student: str, variant: str, shot: str) -> dict[str, Any]:
    return {
        "experiment": c["experiment"],
        "dataset": evaluated_dataset(c, dataset),
        "student": student,
        "variant": variant,
        "shot": str(shot),
        "seeds": list(c["grid"]["seed"]),
    }


def compare(c: Composition) -> dict[str, Any]:
    datasets = [evaluated_dataset(c, name) for name in c["grid"]["dataset"]]
    return {"experiment": c["experiment"], "datasets": datasets, "runs": runs(c), "reference": c["reference"]}


def report(c: Composition) -> dict[str, Any]:
    """As `compare`, and the highlighted variant."""
    return compare(c) | ({"highlight": c["highlight"]} if c.get("highlight") in c["grid"]["variant"] else {})


def page_templates() -> str:
    """A hash of the page's templates, which code fingerprints do not cover."""
    return digest({path.name: sha256(path) for path in sorted((PACKAGE / "templates").iterdir())})


def cells(c: Composition) -> list[tuple[str, str, str, str]]:
    """Every (dataset, student, variant, shot) of the grid's blocks once, in the grid's order: the `distill` jobs."""
    grid = c["grid"]
    blocks = [{key: {str(v) for v in values} for key, values in block.items()} for block in c.get("blocks") or [grid]]
    crossed = itertools.product(*(map(str, grid[key]) for key in CELL))
    return [
        (dataset, student, variant, shot)
        for dataset, student, variant, shot in crossed
        if any(
            dataset in block["dataset"]
            and student in block["student"]
            and variant in block["variant"]
            and shot in block["shot"]
            for block in blocks
        )
    ]


def train_splits(c: Composition) -> list[tuple[str, str]]:
    """The (dataset, shot) that some run trains on, in the grid's order."""
    return list(dict.fromkeys((dataset, shot) for dataset, _, _, shot in cells(c)))


def runs(c: Composition) -> list[dict[str, Any]]:
    """Every training run of the grid, in the grid's order."""
    return [
        {
            "dataset": dataset,
            "student": student,
            "teacher": teacher_names.joined(c["variants"][variant].get("teacher")),
            "method": c["variants"][variant]["method"],
            "variant": variant,
            "shot": shot,
            "seed": seed,
        }
        | _part(c["students"][student], "regions")
        for dataset, student, variant, shot in cells(c)
        for seed in c["grid"]["seed"]
    ]


def code(c: Composition, step: str, **chosen: str) -> str:
    """The fingerprint of a step with the modules that its configuration chooses by name."""
    module = components.module_name
    modules = [f"vlkd_steps.steps.{step}"]
    if "source" in chosen:
        conf = c["sources"][chosen["source"]]
        modules.append(module("source", conf["kind"]))
        modules += [module("reader", conf["convert"])] if conf.get("convert") else []
    if step == "prepare":
        modules.append(module("reader", c["datasets"][chosen["dataset"]]["reader"]))
    modules += task_modules(c, step, chosen.get("dataset"))
    if "variant" in chosen:
        method = c["variants"][chosen["variant"]]["method"]
        modules += [*components.code_of("method", method), declaration(method).run_module]
    if "student" in chosen:
        modules += student_modules(c["students"][chosen["student"]])
    if "teacher" in chosen:
        modules.append(module("teacher", c["teachers"][chosen["teacher"]]["kind"]))
    if "model" in chosen:
        group = "teachers" if chosen["model"] in c["teachers"] else "students"
        conf = c[group][chosen["model"]]
        modules += [module("pretraining", conf["kind"]), module(group.removesuffix("s"), conf["kind"])]
        modules += student_modules(conf) if group == "students" else []
    try:
        return fingerprint(*modules)
    except ModuleNotFoundError as error:
        raise UserError(f"the configuration of step {step} names code that does not exist: {error}") from error


def task_modules(c: Composition, step: str, dataset: str | None) -> list[str]:
    """The tasks that a step works on, with their metrics if it scores, so a changed metric causes no retraining."""
    read = [dataset] if dataset else c["grid"]["dataset"] if step in ("compare", "report") else []
    if step in ("prepare", "split"):
        names = {c["datasets"][name]["task"] for name in read}
    else:
        names = {task for name in read for task in extra_evals.tasks_of(evaluated_dataset(c, name))}
    scored = {tasks.load(name).metric for name in names} - {""} if step == "evaluate" else set()
    found = [components.module_name("task", name) for name in sorted(names)]
    return found + [components.module_name("metric", name) for name in sorted(scored)]


def student_modules(conf: Mapping[str, Any]) -> list[str]:
    """A student's architecture and, if its vocabulary is built in, the module of the words."""
    return [components.module_name("student", conf["kind"]), *vocabulary_modules(conf)]


def vocabulary_modules(conf: Mapping[str, Any]) -> list[str]:
    """The module of a student's words, if they are built in."""
    words = conf.get("vocabulary") or ""
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
    for source in c["artifacts"]["source"]:
        if c["sources"][source]["kind"] == "local":
            try:
                local.chosen(c["sources"][source])
            except UserError as error:
                found["download"][source] = str(error)
    for teacher in c["artifacts"]["teacher"]:
        for dataset in c["grid"]["dataset"]:
            conf = extract(c, teacher, dataset)["teacher"]
            if not layout.features_manifest(teacher, dataset).is_file() and (absent := _absent(conf)):
                found["extract"][f"{teacher} {dataset}"] = (
                    f"{', '.join(absent)}: missing; put the files of regions {teacher} there, or set their path "
                    f"in conf/teacher/{teacher}.yaml"
                )
    of_grid = dict.fromkeys(c["datasets"][dataset]["task"] for dataset in c["grid"]["dataset"])
    for student in c["grid"]["student"]:
        conf = c["students"][student]
        of_tasks = [{**conf, **((conf.get("by_task") or {}).get(task) or {})} for task in of_grid]
        named = dict.fromkeys(str(part["weights"]) for part in of_tasks if part.get("weights"))
        if absent := [name for name in named if name.endswith(WEIGHT_SUFFIXES) and not Path(name).is_file()]:
            found["distill"][student] = (
                f"{', '.join(absent)}: missing; put the weights of student {student} there, or set their path "
                f"in conf/student/{student}.yaml"
            )
    return found


def _absent(conf: Mapping[str, Any]) -> list[str]:
    """The files of regions that a configuration names and that do not exist."""
    parts = [conf, *(conf.get("parts") or [])] if conf["kind"] == "regions_files" else []
    return [path for part in parts for path in part.get("files") or [] if not Path(path).exists()]


def missing_message(experiment: str, found: Mapping[str, Mapping[str, str]]) -> str:
    """All missing data in one message."""
    lines = "\n".join(f"  {text}" for of_rule in found.values() for _, text in sorted(of_rule.items()))
    return f"experiment {experiment} reads data that you have to provide, and that is missing:\n{lines}"


def _chosen(c: Composition, source: str) -> tuple[list[Path], list[Path]]:
    conf = c["sources"][source]
    paths = []
    if conf["kind"] == "local":
        with contextlib.suppress(UserError):  # `missing` reports all of them at once
            paths = local.chosen(conf)
    images = [path for path in paths if path.suffix.lower() in IMAGE_SUFFIXES]
    return [path for path in paths if path not in set(images)], images


def pretrain_inputs(c: Composition, model: str) -> list[str]:
    """The corpus that a pre-trained model reads and the weights that it starts from, where it has them."""
    making = c["teachers" if model in c["teachers"] else "students"][model]["pretrain"]
    inputs = [str(layout.instances(making["corpus"]))] if making.get("corpus") else []
    if making.get("init"):
        inputs += made_weights(c["teachers"][making["init"]])
    return inputs


def made_weights(conf: Mapping[str, Any]) -> list[str]:
    """The weights of a teacher or student that `pretrain` makes; empty if they are shipped or downloaded."""
    return [str(layout.model_weights(conf["name"]))] if conf.get("pretrain") else []


def starting_weights(c: Composition, model: str) -> str:
    """`of_package` for the teacher that a pre-training starts from."""
    init = (c["teachers"].get(model, {}).get("pretrain") or {}).get("init")
    return of_package(c["teachers"][init]) if init else ""


def of_package(conf: Mapping[str, Any]) -> str:
    """A hash of the files, beside code, of a teacher shipped with the package: weights, architecture and tokenizer."""
    weights = shipped_weights(conf)
    if not weights:
        return ""
    folders = (PACKAGE / "assets" / "open_clip", PACKAGE / "assets" / "scenes_tokenizer")
    return digest([weights, [[path.name, sha256(path)] for folder in folders for path in sorted(folder.iterdir())]])


def shipped_weights(conf: Mapping[str, Any]) -> str:
    """sha256 of weights shipped with the package, which code fingerprints do not cover."""
    weights = str(conf.get("weights") or "")
    path = PACKAGE / "assets" / weights.removeprefix("asset:")
    if not weights.startswith("asset:") or not path.exists():
        return ""
    return sha256(path) if path.is_file() else digest({each.name: sha256(each) for each in sorted(path.iterdir())})


def features_of(c: Composition, variant: str, dataset: str) -> list[str]:
    teachers = teacher_names.names(c["variants"][variant].get("teacher"))
    return [str(layout.features_manifest(teacher, dataset)) for teacher in teachers]


def regions_of(c: Composition, student: str, dataset: str) -> list[str]:
    """The regions of a data set that a student reads; empty for one that reads pixels."""
    extractor = c["students"][student].get("regions")
    return [str(layout.features_manifest(extractor, dataset))] if extractor else []


def _part(conf: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    return {key: conf[key] for key in keys if key in conf}


def _without(conf: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in conf.items() if key not in keys}


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
