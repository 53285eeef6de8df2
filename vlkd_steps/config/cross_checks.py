"""Checks across sections: a student that a method cannot train, a run without its initial model."""

from vlkd_steps import tasks
from vlkd_steps.config import precedence
from vlkd_steps.config.members import Origin
from vlkd_steps.config.models import kinds
from vlkd_steps.config.models.composition import Cell, Composition
from vlkd_steps.config.models.extra_evals import ItemsOfASet, Retrieval
from vlkd_steps.config.models.method import declaration
from vlkd_steps.core.did_you_mean import nearest, one_of
from vlkd_steps.core.errors import UserError


def check(c: Composition, origin: Origin) -> None:
    """Refuse an experiment that cannot be run.

    Raises:
        UserError: a reference that is not a variant, a student that does not fit the method or the task, an incomplete
            recipe, a missing teacher, an invalid extra evaluation.
    """
    for key, name in (("reference", c.preset.reference), ("highlight", c.preset.highlight)):
        if name:
            one_of(name, c.variants, f"{origin(key)[0]}: {key}")
    _check_extra_evals(c, origin)
    for cell in c.cells:
        _check_student(c, cell)
        _check_method(c, cell, origin)


def _check_student(c: Composition, cell: Cell) -> None:
    """Check that the method can train the student, and that the student can do the task."""
    method, student = c.variants[cell.variant].method, cell.student
    runner = declaration(method).runner
    writes = getattr(kinds.model("student", c.students[student].kind), "writes", False)
    if writes and runner == "classify":
        message = (
            f"method {method} trains a classifier, but {student} answers in words; give it the variants of method vlkd"
        )
    elif not writes and runner == "vlkd":
        message = f"method {method} trains a BART, which {student} is not; name one, such as bart_scenes"
    elif not writes and tasks.load(c.datasets[cell.dataset].task).head == "written" and runner == "classify":
        message = f"{student} is a classifier, but {cell.dataset} has captions; name a BART, such as bart_scenes"
    else:
        return
    raise UserError(f"experiment {c.experiment}, {cell.dataset} {student} {cell.variant}: {message}")


def _check_method(c: Composition, cell: Cell, origin: Origin) -> None:
    """Check that a run's recipe is whole, that its method has the teacher it needs and fits the recipe's steps."""
    recipe = precedence.recipe(c, cell)
    chosen, where = c.variants[cell.variant], f"variants.{cell.variant}"
    settings = precedence.settings(c, cell.variant, c.datasets[cell.dataset].task, origin)
    method = declaration(chosen.method)
    if not chosen.teachers and method.needs_teacher(settings):
        raise UserError(f"{origin(where)[0]}: {where}.teacher is missing; method {chosen.method} needs one: name it")
    if len(chosen.teachers) > 1 and method.one_space(settings):
        raise origin.mistake(
            f"{where}.teacher",
            f"names two teachers, and method {chosen.method} compares images with words, which requires one CLIP "
            "for both; name one teacher, or take method mad with relevance: regression",
        )
    if message := settings.mistake(recipe.steps):
        raise UserError(f"experiment {c.experiment}, {' '.join(cell)}: method {chosen.method}: {message}")


def _check_extra_evals(c: Composition, origin: Origin) -> None:
    """Check that extra evaluations name existing sets, of tasks that are answered in words."""
    for trained_on in c.grid.dataset:
        for name, conf in c.extra_evals.get(trained_on, {}).items():
            where = f"extra_evals.{trained_on}.{name}"
            if name in c.datasets[trained_on].evaluation_sets:
                raise origin.mistake(where, f"has the name of an evaluation set of {trained_on}; choose another")
            if not isinstance(conf, ItemsOfASet | Retrieval):
                continue
            of = c.datasets[conf.dataset]
            if conf.set not in of.roles:
                near = nearest(conf.set, of.roles)
                raise origin.mistake(f"{where}.set", f"is {conf.set!r}; {conf.dataset} has no such set; {near}")
            if not tasks.load(of.task).in_words:
                raise origin.mistake(
                    f"{where}.dataset",
                    f"is {conf.dataset!r}, of task {of.task}, which is not answered in words; name one of "
                    f"{' or '.join(tasks.in_words())}",
                )
