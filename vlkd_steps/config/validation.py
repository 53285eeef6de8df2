"""From pydantic's errors to the one message that a user reads: file, key, value, what is allowed, the nearest valid.

This is the only module that knows how pydantic words its errors.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from vlkd_steps.core.devices import DEVICES, other_device
from vlkd_steps.core.did_you_mean import nearest
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.redaction import redacted

M = TypeVar("M", bound=BaseModel)
Locate = Callable[[str], tuple[str, str]]
"""A dotted key of what is validated -> the file that says it, and how the key is called there."""
SHOWN = 80  # characters of a value

KINDS = {
    "dict_type": "write a mapping (key: value)",
    "model_type": "write a mapping (key: value)",
    "mapping_type": "write a mapping (key: value)",
    "list_type": "write a list",
    "tuple_type": "write a list",
    "string_type": "write a text",
    "too_short": "name at least one",
    "tuple_too_short": "name at least one",
}


def validated(model: type[M], value: Any, where: str = "", locate: Locate | None = None) -> M:
    """`value` as a `model`.

    Args:
        where: what is validated, such as ``training``: dotted keys of messages begin with it.
        locate: finds the file of a key; without it messages begin with the key.

    Raises:
        UserError: all that is wrong with it, a line each.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise UserError(explained(error.errors(include_url=False), where, locate)) from None


def explained(errors: Sequence[ErrorDetails], where: str = "", locate: Locate | None = None) -> str:
    """Every error once, a line each."""
    lines = dict.fromkeys(line(error, where, locate) for error in errors)
    return "\n".join(lines)


def line(error: ErrorDetails, where: str, locate: Locate | None) -> str:
    """One error: ``<file>: <key> is <value>; <what is allowed>``."""
    kind, context = error["type"], error.get("ctx", {})
    parts = [where, *(str(part) for part in error["loc"] if part != "[key]")]
    if error["loc"][-1:] == ("[key]",) and not isinstance(error["input"], str):
        return not_text(error, [where, *map(str, error["loc"][:-2])], locate)
    if kind == "extra_forbidden":
        parts = parts[:-1]
    dotted = ".".join(part for part in parts if part)
    said = ".".join([dotted, context["key"]]).strip(".") if kind == "unknown_key" else dotted
    file, _ = locate(said) if locate else ("", said)
    key = locate(dotted)[1] if locate else dotted
    before = f"{file}: " if file else ""
    if kind == "unknown_key":
        return f"{before}unknown key {shown(context['key'])} at {key or 'the top level'}; {context['advice']}"
    if kind == "missing":
        return f"{before}{key} is missing; write it"
    if kind == "problem":
        return f"{before}{key + ': ' if key else ''}{context['message']}"
    return f"{before}{key or 'the top level'} is {shown(error['input'])}; {advice(error)}{_sweep(key, error)}"


def not_text(error: ErrorDetails, section: Sequence[str], locate: Locate | None) -> str:
    """A key that YAML takes for another value: on, 5."""
    dotted = ".".join(part for part in section if part)
    file, key = locate(dotted) if locate else ("", dotted)
    said = f"{key or 'the top level'} has the key {shown(error['input'])}, which YAML does not read as text"
    return f"{file + ': ' if file else ''}{said}; put it in quotes"


def _sweep(key: str, error: ErrorDetails) -> str:
    """How to try several values of a variant's key, for a list where one value belongs."""
    groups, _, rest = key.partition(".")
    variant, _, setting = rest.partition(".")
    if groups != "variants" or not setting or setting.startswith("sweep.") or not isinstance(error["input"], list):
        return ""
    return f"; to try several values: variants.{variant}.sweep: {{{setting}: {shown(error['input'])}}}"


def advice(error: ErrorDetails) -> str:
    """What is allowed instead."""
    kind, context = error["type"], error.get("ctx", {})
    if kind == "value":
        return str(context["advice"])
    if kind == "literal_error":
        allowed = re.findall(r"'([^']*)'", str(context["expected"]))
        if allowed == list(DEVICES) and str(error["input"]).startswith("cuda:"):
            return other_device(error["input"])
        near = nearest(str(error["input"]), allowed)
        hint = f"; {near}" if near.startswith("did you mean") else ""
        return f"choose from: {', '.join(allowed)}{hint}"
    return KINDS.get(kind) or error["msg"][:1].lower() + error["msg"][1:]


def shown(value: Any) -> str:
    """A value as its file says it, cut where it is long."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    try:
        text = redacted(repr(plain(value)))  # before it is cut
    except ValueError:  # Python writes no whole number of more than 4300 digits
        text = "a number of too many digits"
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else value
