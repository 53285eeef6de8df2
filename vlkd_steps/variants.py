"""What a preset's variants may say, looked at when the configuration is composed: before anything runs."""

from collections.abc import Mapping
from typing import Any

from vlkd_steps import jobs
from vlkd_steps.did_you_mean import nearest, one_of
from vlkd_steps.errors import UserError
from vlkd_steps.training.recipe import Recipe

OF_EVERY_VARIANT = ("training", "init")
TASKS = ("vqa", "entailment", "vcr", "captioning")


def check(c: Mapping[str, Any]) -> None:
    """Refuse variants of the grid that say what nothing reads, or train as nothing can be trained.

    Raises:
        UserError: an unknown variant, task or setting, or a value of ``training`` that cannot be.
    """
    for key in ("reference", "highlight"):
        if c.get(key):
            one_of(c[key], c["variants"], f"experiment {c['experiment']}: {key}")
    for name in c["grid"]["variant"]:
        _check_keys(c, name)
    for dataset, student, variant, shot in jobs.cells(c):
        try:
            Recipe.of(jobs.training(c, variant, c["datasets"][dataset]["task"], student, shot))
        except UserError as told:
            raise UserError(f"experiment {c['experiment']}, {dataset} {student} {variant} {shot}: {told}") from told


def _check_keys(c: Mapping[str, Any], name: str) -> None:
    variant, where = c["variants"][name], f"experiment {c['experiment']}: variants.{name}"
    settings = [*(key for key in c["methods"][variant["method"]] if key != "name"), *OF_EVERY_VARIANT]
    by_task = variant.get("by_task") or {}
    for task in by_task:
        one_of(task, TASKS, f"{where}.by_task")
    of_tasks = {f"{where}.by_task.{task}": (part or {}, settings) for task, part in by_task.items()}
    for place, (said, known) in ({where: (variant, [*settings, "method", "teacher", "by_task"])} | of_tasks).items():
        for key in said:
            if key not in known:
                raise UserError(f"{place} has unknown key {key!r}; {nearest(key, known)}")
