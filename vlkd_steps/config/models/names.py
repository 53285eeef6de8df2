"""Values that are names of components: tasks, vocabularies."""

from typing import Annotated

from pydantic import AfterValidator, Strict

from vlkd_steps.config.models.base import Text, value_error
from vlkd_steps.core import components
from vlkd_steps.core.did_you_mean import nearest


def _known(value: str) -> str:
    if value not in components.names("task"):
        raise value_error(f"there is no such task; {nearest(value, components.names('task'))}")
    return value


def _words(value: str) -> str:
    if not value.endswith(".txt") and value not in components.names("vocabulary"):
        known = nearest(value, components.names("vocabulary"))
        raise value_error(f"there is no such vocabulary; {known} or a text file of words, such as words.txt")
    return value


Vocabulary = Annotated[Text, AfterValidator(_words)]
Task = Annotated[str, Strict(), AfterValidator(_known)]
