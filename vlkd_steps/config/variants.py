"""What a preset's variants may say, looked at when the configuration is composed: before anything runs."""

from collections.abc import Mapping
from typing import Any

from vlkd_steps import tasks
from vlkd_steps.config import jobs, methods
from vlkd_steps.config.recipe import Recipe
from vlkd_steps.core import components
from vlkd_steps.core.did_you_mean import nearest, one_of
from vlkd_steps.core.errors import UserError

OF_EVERY_VARIANT = ("training", "init")
WRITERS = frozenset({"bart"})  # kinds of students that answer in words instead of classes


def check(c: Mapping[str, Any]) -> None:
    """Refuse variants of the grid that say what nothing reads, or train as nothing can be trained.

    Raises:
        UserError: an unknown variant, task or setting, a student that the method cannot teach or the task cannot use,
            or a value of ``training`` that cannot be.
    """
    for key in ("reference", "highlight"):
        if c.get(key):
            one_of(c[key], c["variants"], f"experiment {c['experiment']}: {key}")
    for name in c["grid"]["variant"]:
        _check_keys(c, name)
    for dataset, student, variant, shot in jobs.cells(c):
        _check_student(c, dataset, student, variant)
        try:
            Recipe.of(jobs.training(c, variant, c["datasets"][dataset]["task"], student, shot))
        except UserError as told:
            raise UserError(f"experiment {c['experiment']}, {dataset} {student} {variant} {shot}: {told}") from told


def _check_keys(c: Mapping[str, Any], name: str) -> None:
    variant, where = c["variants"][name], f"experiment {c['experiment']}: variants.{name}"
    settings = [*(key for key in c["methods"][variant["method"]] if key != "name"), *OF_EVERY_VARIANT]
    by_task = variant.get("by_task") or {}
    for task in by_task:
        one_of(task, components.names("task"), f"{where}.by_task")
    of_tasks = {f"{where}.by_task.{task}": (part or {}, settings) for task, part in by_task.items()}
    for place, (said, known) in ({where: (variant, [*settings, "method", "teacher", "by_task"])} | of_tasks).items():
        for key in said:
            if key not in known:
                raise UserError(f"{place} has unknown key {key!r}; {nearest(key, known)}")


def _check_student(c: Mapping[str, Any], dataset: str, student: str, variant: str) -> None:
    """A method that trains classes teaches no writer, VLKD teaches nothing else, and only a writer has captions."""
    method, writes = c["variants"][variant]["method"], c["students"][student]["kind"] in WRITERS
    if writes and method not in methods.RUNNERS:
        told = f"method {method} trains classes, and {student} answers in words; give it the variants of method vlkd"
    elif not writes and method == "vlkd":
        told = f"method vlkd teaches a BART, and {student} is none; name one, such as bart_scenes"
    elif not writes and tasks.load(c["datasets"][dataset]["task"]).head == "written" and method not in methods.RUNNERS:
        told = f"{student} chooses among classes, and {dataset} has captions; name a BART, such as bart_scenes"
    else:
        return
    raise UserError(f"experiment {c['experiment']}, {dataset} {student} {variant}: {told}")
