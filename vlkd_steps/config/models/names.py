"""Values that are names of tasks."""

from typing import Annotated

from pydantic import AfterValidator, Strict

from vlkd_steps.config.models.base import value_error
from vlkd_steps.core import components
from vlkd_steps.core.did_you_mean import nearest


def _known(value: str) -> str:
    if value not in components.names("task"):
        raise value_error(f"there is no such task; {nearest(value, components.names('task'))}")
    return value


Task = Annotated[str, Strict(), AfterValidator(_known)]
