"""Checks across sections: a name that means another kind of thing, a student that a method cannot train."""

from collections.abc import Mapping
from typing import Any

from vlkd_steps import tasks
from vlkd_steps.config import extra_evals, jobs, members, precedence, teacher_names
from vlkd_steps.config.members import Origin
from vlkd_steps.config.models import kinds
from vlkd_steps.config.models.method import declaration
from vlkd_steps.config.models.recipe import Recipe
from vlkd_steps.config.validation import shown, validated
from vlkd_steps.core import components, layout
from vlkd_steps.core.did_you_mean import nearest, one_of
from vlkd_steps.core.errors import UserError


def check(c: Mapping[str, Any], origin: Origin) -> None:
    """Refuse an experiment that cannot be run.

    Raises:
        UserError: a reference or init that is not a variant, a data set that nothing can be trained or evaluated on, an
            extractor of regions as a teacher or the reverse, a pre-training that cannot be, a student that does not fit
            the method or the task, an incomplete recipe, a missing teacher, an invalid extra evaluation.
    """
    for key in ("reference", "highlight"):
        if c.get(key):
            one_of(c[key], c["variants"], f"{origin(key)[0]}: {key}")
    _check_variants(c, origin)
    _check_datasets(c, origin)
    _check_regions(c, origin)
    _check_pretraining(c, origin)
    _check_extra_evals(c, origin)
    for cell in jobs.cells(c):
        dataset, student, variant, shot = cell
        _check_student(c, dataset, student, variant, origin)
        task = c["datasets"][dataset]["task"]
        layers = precedence.recipe_layers(c, variant, task, student, shot)
        recipe = whole_recipe(c, cell, precedence.merged(layers))
        _check_method(c, cell, task, recipe, origin)


def _check_variants(c: Mapping[str, Any], origin: Origin) -> None:
    """Check what every variant names, also one that the grid leaves out: its teacher, the variant it starts from."""
    for name, variant in c["variants"].items():
        where = f"variants.{name}"
        parts = {f"{where}.by_task.{task}": part for task, part in (variant.get("by_task") or {}).items()}
        for key, part in {where: variant, **parts}.items():
            if part and part.get("init"):
                one_of(part["init"], c["variants"], ": ".join(origin(f"{key}.init")))
        _check_teacher(c, name, None, origin)


def _check_datasets(c: Mapping[str, Any], origin: Origin) -> None:
    """Check that the grid's data sets have something to train on, and something to be evaluated on."""
    for name in c["grid"]["dataset"]:
        conf = c["datasets"][name]
        if "train" not in conf["roles"]:
            raise origin.mistake(
                f"datasets.{name}.roles",
                f"has no train, and the grid trains on {name}; add the role, or take {name} out of the grid; "
                f"roles are: {', '.join(conf['roles'])}",
            )
        if not conf["evaluation_sets"] and not extra_evals.of_dataset(c, name):
            raise origin.mistake(
                f"datasets.{name}.evaluation_sets",
                f"is empty, and there are no extra_evals for {name}, which the grid trains on; name one of its roles: "
                f"{', '.join(conf['roles'])}",
            )


def _check_regions(c: Mapping[str, Any], origin: Origin) -> None:
    """Check that teachers are teachers, and extractors of regions extract regions."""
    named = [(f"variants.{name}.teacher", c["variants"][name].get("teacher"), False) for name in c["grid"]["variant"]]
    named += [(f"students.{name}.regions", conf.get("regions"), True) for name, conf in c["students"].items()]
    for key, value, wanted in named:
        for name in teacher_names.names(value):
            if _extracts(name, origin) != wanted:
                kind, what = c["teachers"][name]["kind"], ("a teacher", "an extractor of regions")
                fitting = sorted(each for each in origin.conf.options("teacher") if _extracts(each, origin) == wanted)
                raise origin.mistake(
                    key,
                    f"names {name!r}, {what[not wanted]} (kind {kind}), not {what[wanted]}; {nearest(name, fitting)}",
                )


def _extracts(teacher: str, origin: Origin) -> bool:
    """Whether a file of a teacher is that of an extractor of regions."""
    kind = str(origin.conf.merged("teacher", teacher).get("kind"))
    return kind in kinds.names("teacher") and ".regions." in components.module_name("teacher", kind)


def _check_pretraining(c: Mapping[str, Any], origin: Origin) -> None:
    """Check that a pre-training has captions to read, a CLIP to start from, and makes the weights that are read."""
    for group in ("teachers", "students"):
        for name, conf in c[group].items():
            making = conf.get("pretrain") or {}
            if corpus := making.get("corpus"):
                of = c["datasets"][corpus]
                if tasks.load(of["task"]).head != "written":
                    raise origin.mistake(
                        f"{group}.{name}.pretrain.corpus", f"is {corpus!r}, of task {of['task']}; name one of captions"
                    )
                if making.get("split") and making["split"] not in of["files"]:
                    near = nearest(making["split"], of["files"])
                    raise origin.mistake(
                        f"{group}.{name}.pretrain.split", f"is {making['split']!r}; {corpus} has no such files; {near}"
                    )
            if (init := making.get("init")) and (kind := c["teachers"][init]["kind"]) != conf["kind"]:
                raise origin.mistake(
                    f"{group}.{name}.pretrain.init", f"is {init!r}, of kind {kind}; name one of kind {conf['kind']}"
                )
            made = layout.model_weights(name).as_posix()
            if group == "teachers" and making and conf.get("weights") != made:
                file = origin.conf.chain("teacher", name)[-1].called
                raise UserError(
                    f"{file}: weights is {shown(conf.get('weights'))}, and pretrain makes {made}; write weights: {made}"
                )


def whole_recipe(c: Mapping[str, Any], cell: tuple[str, ...], merged: Mapping[str, Any]) -> Recipe:
    """The recipe of a cell; its values are valid, but some may be missing."""
    lacking = [key for key, field in Recipe.model_fields.items() if field.is_required() and key not in merged]
    if lacking:
        raise UserError(
            f"experiment {c['experiment']}, {' '.join(cell)}: training.{lacking[0]} is missing; give it in the preset "
            "or in params.yaml under overrides"
        )
    return validated(Recipe, merged, "training")


def _check_student(c: Mapping[str, Any], dataset: str, student: str, variant: str, origin: Origin) -> None:
    """Check that the method can train the student, and that the student can do the task."""
    method = c["variants"][variant]["method"]
    runner = declaration(method).runner
    writes = getattr(kinds.model("student", c["students"][student]["kind"]), "writes", False)
    if writes and runner == "classify":
        message = (
            f"method {method} trains a classifier, but {student} answers in words; give it the variants of method vlkd"
        )
    elif not writes and runner == "vlkd":
        message = f"method {method} trains a BART, which {student} is not; name one, such as bart_scenes"
    elif not writes and tasks.load(c["datasets"][dataset]["task"]).head == "written" and runner == "classify":
        message = f"{student} is a classifier, but {dataset} has captions; name a BART, such as bart_scenes"
    else:
        return
    file, key = origin("grid.student")
    raise UserError(f"{file}: {key}: experiment {c['experiment']}, {dataset} {student} {variant}: {message}")


def _check_method(c: Mapping[str, Any], cell: tuple[str, ...], task: str, recipe: Recipe, origin: Origin) -> None:
    """Check that a method has the teacher that it needs, and that its settings fit the run's steps."""
    _check_teacher(c, cell[2], task, origin)
    if message := members.settings_of(c, cell[2], task, origin).mistake(recipe.steps):
        name = c["variants"][cell[2]]["method"]
        raise UserError(f"experiment {c['experiment']}, {' '.join(cell)}: method {name}: {message}")


def _check_teacher(c: Mapping[str, Any], variant: str, task: str | None, origin: Origin) -> None:
    """Check that a variant has the teacher that its method needs."""
    chosen = c["variants"][variant]
    method, settings = declaration(chosen["method"]), members.settings_of(c, variant, task, origin)
    teachers = teacher_names.names(chosen.get("teacher"))
    if not teachers and method.needs_teacher(settings):
        raise UserError(
            f"{origin(f'variants.{variant}')[0]}: variants.{variant}.teacher is missing; method {chosen['method']} "
            "needs one: name it"
        )
    if len(teachers) > 1 and method.one_space(settings):
        raise origin.mistake(
            f"variants.{variant}.teacher",
            f"names two teachers, and method {chosen['method']} compares images with words, which requires one CLIP "
            "for both; name one teacher, or take method mad with relevance: regression",
        )


def _check_extra_evals(c: Mapping[str, Any], origin: Origin) -> None:
    """Check that extra evaluations name existing sets, of tasks that are answered in words."""
    for trained_on in c["grid"]["dataset"]:
        for name, conf in ((c.get("extra_evals") or {}).get(trained_on) or {}).items():
            where = f"extra_evals.{trained_on}.{name}"
            if name in c["datasets"][trained_on]["evaluation_sets"]:
                raise origin.mistake(where, f"has the name of an evaluation set of {trained_on}; choose another")
            if "dataset" not in conf:
                continue
            of = c["datasets"][conf["dataset"]]
            if conf["set"] not in of["roles"]:
                near = nearest(conf["set"], of["roles"])
                raise origin.mistake(f"{where}.set", f"is {conf['set']!r}; {conf['dataset']} has no such set; {near}")
            if not tasks.load(of["task"]).in_words:
                raise origin.mistake(
                    f"{where}.dataset",
                    f"is {conf['dataset']!r}, of task {of['task']}, which is not answered in words; name one of "
                    f"{' or '.join(tasks.in_words())}",
                )
