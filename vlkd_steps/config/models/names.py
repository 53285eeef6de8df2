"""Values that are names: of vocabularies, of models and weights."""

import importlib.util
import re
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator

from vlkd_steps.config.models.base import Text, problem, value_error
from vlkd_steps.core import components, package_assets
from vlkd_steps.core.did_you_mean import nearest


def _words(value: str) -> str:
    if not value.endswith(".txt") and value not in components.names("vocabulary"):
        known = nearest(value, components.names("vocabulary"))
        raise value_error(f"there is no such vocabulary; {known} or a text file of words, such as words.txt")
    return value


def _visual(value: Any) -> Any:
    """A list of words, the name of a text file of them, or of a benchmark that knows its own."""
    known = components.names("visual_words")
    if isinstance(value, str) and (value.endswith(".txt") or value in known):
        return value
    if not isinstance(value, list | tuple) or not value:
        raise value_error(f"write a list of words, a text file of them such as words.txt, or {' or '.join(known)}")
    for word in value:
        if not isinstance(word, str) or not WORD.fullmatch(word):
            raise problem(f"{word!r} {NO_WORD}")
    return tuple(value)


@cache
def _clips() -> tuple[str, ...]:
    """The models that open_clip knows, with ours; none where it is not installed. Importing it would import torch."""
    spec = importlib.util.find_spec("open_clip")
    folders = [Path(folder) / "model_configs" for folder in (spec.submodule_search_locations or [])] if spec else []
    ours = package_assets.ASSETS / "open_clip"
    return tuple(sorted(path.stem for folder in [*folders, ours] for path in folder.glob("*.json"))) if folders else ()


def _clip(value: str) -> str:
    named_elsewhere = value.startswith(("local-dir:", "hf-hub:"))
    if _clips() and not named_elsewhere and value.replace("/", "-") not in _clips():
        advice = nearest(value, _clips(), "open_clip.list_models() names them all")
        raise value_error(f"open_clip has no such model; {advice}, or write local-dir:FOLDER or hf-hub:NAME")
    return value


def _weights(value: str) -> str:
    shipped = [
        f"asset:{path.name}"
        for path in package_assets.ASSETS.iterdir()
        if path.suffix == ".safetensors" or path.is_dir()
    ]
    if package_assets.path(value) and value not in shipped:
        raise value_error(f"this package ships no such weights; {nearest(value, shipped)}")
    return value


WORD = re.compile(r"[A-Za-z0-9']+")
"""What texts are cut into (`data.words`), in either case."""
NO_WORD = "is no word: letters a-z, digits and apostrophes; write the parts of a compound as words of their own"

Weights = Annotated[Text, AfterValidator(_weights)]
ClipModel = Annotated[Text, AfterValidator(_clip)]
Vocabulary = Annotated[Text, AfterValidator(_words)]
VisualWords = Annotated[str | tuple[str, ...], BeforeValidator(_visual)]
