"""Checks across sections: a student that a method cannot train, a run without its initial model."""

from collections.abc import Mapping
from typing import Any

from vlkd_steps import tasks
from vlkd_steps.config import jobs, members, precedence, teacher_names
from vlkd_steps.config.members import Origin
from vlkd_steps.config.models import kinds
from vlkd_steps.config.models.method import declaration
from vlkd_steps.config.models.recipe import Recipe
from vlkd_steps.config.validation import validated
from vlkd_steps.core.did_you_mean import nearest, one_of
from vlkd_steps.core.errors import UserError


def check(c: Mapping[str, Any], origin: Origin) -> None:
    """Refuse an experiment that cannot be run.

    Raises:
        UserError: a reference that is not a variant, a student that does not fit the method or the task, an incomplete
            recipe, a missing teacher, an invalid extra evaluation.
    """
    for key in ("reference", "highlight"):
        if c.get(key):
            one_of(c[key], c["variants"], f"{origin(key)[0]}: {key}")
    _check_extra_evals(c, origin)
    for cell in jobs.cells(c):
        dataset, student, variant, shot = cell
        _check_student(c, dataset, student, variant)
        task = c["datasets"][dataset]["task"]
        layers = precedence.recipe_layers(c, variant, task, student, shot)
        recipe = whole_recipe(c, cell, precedence.merged(layers))
        _check_method(c, cell, task, recipe, origin)


def whole_recipe(c: Mapping[str, Any], cell: tuple[str, ...], merged: Mapping[str, Any]) -> Recipe:
    """The recipe of a cell; its values are valid, but some may be missing."""
    lacking = [key for key, field in Recipe.model_fields.items() if field.is_required() and key not in merged]
    if lacking:
        raise UserError(
            f"experiment {c['experiment']}, {' '.join(cell)}: training.{lacking[0]} is missing; give it in the preset "
            "or in params.yaml under overrides"
        )
    return validated(Recipe, merged, "training")


def _check_student(c: Mapping[str, Any], dataset: str, student: str, variant: str) -> None:
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
    raise UserError(f"experiment {c['experiment']}, {dataset} {student} {variant}: {message}")


def _check_method(c: Mapping[str, Any], cell: tuple[str, ...], task: str, recipe: Recipe, origin: Origin) -> None:
    """Check that a method has the teacher that it needs, and that its settings fit the run's steps."""
    variant = cell[2]
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
    if message := settings.mistake(recipe.steps):
        raise UserError(f"experiment {c['experiment']}, {' '.join(cell)}: method {chosen['method']}: {message}")


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
