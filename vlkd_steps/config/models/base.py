"""What all models of the configuration share: they are frozen, know their keys, and say what each value may be.

A type here carries the words of its message: a value that it refuses is answered with ``write <those words>``.
"""

import math
from collections.abc import Callable, Hashable, Mapping
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    Strict,
    ValidationError,
    WrapValidator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from vlkd_steps.core import components, layout
from vlkd_steps.core.did_you_mean import nearest
from vlkd_steps.core.inside import fault
from vlkd_steps.core.numbers import DECIMAL, unequal_parts

S = TypeVar("S")


class Model(BaseModel):
    """Base of all models: no key that it does not name, no silent conversion, no change afterwards."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, defer_build=True)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, given: Any) -> Any:
        if isinstance(given, Mapping):
            known = {field.alias or name for name, field in cls.model_fields.items()}
            for key in given:
                if key not in known and cls.model_config.get("extra") != "allow":
                    raise PydanticCustomError(
                        "unknown_key", "{advice}", {"key": str(key), "advice": nearest(str(key), known)}
                    )
        return given

    def written(self) -> dict[str, Any]:
        """What was written, as plain values: no default is added, so a job's argument stays what its file says."""
        return self.model_dump(mode="json", exclude_unset=True, by_alias=True)


def value_error(advice: str) -> PydanticCustomError:
    """A value that cannot be: ``<key> is <value>; <advice>``."""
    return PydanticCustomError("value", "{advice}", {"advice": advice})


def problem(message: str) -> PydanticCustomError:
    """Something wrong with a section as a whole: ``<key>: <message>``."""
    return PydanticCustomError("problem", "{message}", {"message": message})


def says(words: str) -> WrapValidator:
    """Whatever the type refuses is answered with these words."""

    def check(value: Any, handler: Callable[[Any], Any]) -> Any:
        try:
            return handler(value)
        except ValidationError:
            raise value_error(f"write {words}") from None

    return WrapValidator(check)


def says_text(words: str) -> WrapValidator:
    """As `says`, for a text, which YAML takes for another value where it looks like one: 2024_05, 1e3, no."""

    def check(value: Any, handler: Callable[[Any], Any]) -> Any:
        try:
            return handler(value)
        except ValidationError:
            another_type = isinstance(value, int | float)
            quotes = "put it in quotes, as YAML does not read it as text, and " if another_type else ""
            raise value_error(f"{quotes}write {words}") from None

    return WrapValidator(check)


def unique(values: tuple[Hashable, ...]) -> tuple[Hashable, ...]:
    """Refuse duplicate values; 40 and "40" name one folder, and so do Scenes and scenes on some disks."""
    seen: dict[str, Hashable] = {}
    for value in values:
        same = seen.setdefault(str(value).casefold(), value)
        if str(same) != str(value):
            raise problem(f"{same!r} and {value!r} name the same folder; name it once")
    if len(seen) < len(values):
        twice = next(value for value in values if [str(each) for each in values].count(str(value)) > 1)
        raise problem(f"{twice!r} appears twice; name it once")
    return values


def shared_in_equal_parts(batch_size: int, processes: int) -> None:
    """Refuse a batch that processes cannot share in equal parts."""
    if message := unequal_parts(batch_size, processes):
        raise problem(message)


def some(values: S) -> S:
    """Refuse an empty list or mapping."""
    if not values:
        raise value_error("name at least one")
    return values


def number(value: Any) -> Any:
    """A number; one that was quoted, or that YAML 1.1 takes for text (4e-3), is the number all the same."""
    if isinstance(value, bool):
        raise ValueError("a boolean is no number")
    if isinstance(value, str) and not DECIMAL.fullmatch(value):
        raise ValueError("no number")
    if isinstance(value, int) and abs(value) > LARGEST:
        raise ValueError("larger than a run can count with")
    return float(value) if isinstance(value, str) else value


def between(low: float, high: float, *, open_low: bool = False, open_high: bool = False) -> AfterValidator:
    """The number is in an interval."""

    def check(value: float) -> float:
        if value < low or value > high or (open_low and value == low) or (open_high and value == high):
            raise ValueError("is outside")
        return value

    return AfterValidator(check)


def inside(path: str) -> str:
    """A relative path that stays below its folder."""
    if problem := fault(path):
        raise ValueError(problem)
    return path


def plain_text(value: str) -> str:
    """A text that can be shown and given to another program; ``${...}`` in an override is resolved by nobody."""
    if not all(letter.isprintable() or letter in "\n\t" for letter in value) or "${" in value or value == "???":
        raise ValueError("no plain text")
    return value


def known_task(value: str) -> str:
    """The name of a task that there is."""
    if value not in components.names("task"):
        raise value_error(f"there is no such task; {nearest(value, components.names('task'))}")
    return value


LARGEST = 2**63 - 1  # of whole numbers
Flag = Annotated[bool, Strict(), says("true or false")]
Printable = AfterValidator(plain_text)
Text = Annotated[
    str, Strict(), Field(min_length=1), Printable, says_text("a text without control characters, ${...} and ???")
]
Name = Annotated[
    str, Strict(), Field(pattern=rf"^{layout.NAME}$"), says_text("a name of letters, digits and _, at most 100 of them")
]
Count = Annotated[int, Strict(), Field(gt=0, le=LARGEST), says("a whole number above 0, and below 2**63")]
Whole = Annotated[int, Strict(), Field(ge=0, le=LARGEST), says("a whole number, 0 or more, and below 2**63")]
Integer = Annotated[int, Strict(), Field(ge=-LARGEST, le=LARGEST), says("a whole number, below 2**63")]
Number = Annotated[int | float, BeforeValidator(number)]
Positive = Annotated[Number, between(0, math.inf, open_low=True), says("a number above 0, such as 4e-3")]
FromZero = Annotated[Number, between(0, math.inf), says("a number, 0 or more")]
Share = Annotated[Number, between(0, 1), says("a share, from 0 to 1")]
Part = Annotated[Number, between(0, 1, open_low=True, open_high=True), says("a share, above 0 and below 1")]
Inside = Annotated[
    str, Strict(), Printable, AfterValidator(inside), says("a relative path without .., which stays in the folder")
]
Seed = Whole
Task = Annotated[str, Strict(), AfterValidator(known_task)]
Warmup = Annotated[Share, says("a share of the steps, from 0 to 1")]
PERCENTAGE = r"(100|[1-9][0-9]?|[1-9]?[0-9]\.[0-9]*[1-9])pct"  # one way to write each: 1pct, not 1.0pct or 01pct
Shot = Annotated[
    Annotated[int, Strict(), Field(ge=1, le=LARGEST)]
    | Annotated[str, Strict(), Field(pattern=rf"^({PERCENTAGE}|full)$")],
    says("a number of questions, a percentage such as 1pct, or full"),
]
Sha256 = Annotated[str, Strict(), Field(pattern=r"^[0-9a-f]{64}$"), says("a sha256: 64 hex digits, lower case")]
Sequence = Strict(False)
"""Beside ``tuple[...]``: a list of YAML is taken; its members stay strict."""
_Beta = Annotated[Number, between(0, 1, open_high=True)]
Betas = Annotated[tuple[_Beta, _Beta], Sequence, says("two numbers from 0 to below 1, such as [0.9, 0.98]")]
Tokens = Annotated[Whole, says("a whole number of tokens, or 0 for batch_size")]
Every = Annotated[Whole, says("a whole number of steps, or 0 for never")]
Names = Annotated[tuple[Name, ...], Sequence, AfterValidator(some), AfterValidator(unique)]
Texts = Annotated[tuple[Text, ...], Sequence]
Paths = Annotated[tuple[Inside, ...], Sequence]


class Learned(Model):
    """Teachers and students: what both have."""

    name: Name
    kind: Text

    @property
    def pretraining(self) -> dict[str, Any]:
        """``pretrain`` as written; empty where nothing is trained before the runs."""
        return self.written().get("pretrain") or {}
