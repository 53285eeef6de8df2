"""Values that are names of tasks."""

from typing import Annotated

from pydantic import AfterValidator, Strict

from vlkd_steps.config.models.base import value_error
from vlkd_steps.core import components
from vlkd_steps.core.did_you_mean import nearest

TASKS = ("vqa", "entailment", "vcr", "captioning")


def task_names() -> list[str]:
    """What a task may be: ours, and what plugins bring."""
    return [*TASKS, *components.brought("task")]


def _known(value: str) -> str:
    if value not in task_names():
        raise value_error(f"there is no such task; {nearest(value, task_names())}")
    return value


Task = Annotated[str, Strict(), AfterValidator(_known)]
