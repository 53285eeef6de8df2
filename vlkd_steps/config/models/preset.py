"""params.yaml and presets, conf/experiment/*.yaml: what is crossed, the variants, the recipe, what is overridden."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, Strict, model_validator

from vlkd_steps.config.models.base import (
    PERCENTAGE,
    Model,
    Name,
    Names,
    Seed,
    Sequence,
    Shot,
    Task,
    Text,
    problem,
    says,
    says_text,
    some,
    unique,
)
from vlkd_steps.config.models.recipe import PartialRecipe
from vlkd_steps.core import layout

VariantName = Annotated[
    str,
    Strict(),
    Field(pattern=rf"^{layout.NAME}(\[.+\])?$"),
    says_text(
        "a name of letters, digits and _, at most 100 of them, or a member of a sweep, such as clip_td[lambda0=3]"
    ),
]
VariantNames = Annotated[tuple[VariantName, ...], Sequence, AfterValidator(some), AfterValidator(unique)]
Shots = Annotated[tuple[Shot, ...], Sequence, AfterValidator(some), AfterValidator(unique)]
Seeds = Annotated[tuple[Seed, ...], Sequence, AfterValidator(some), AfterValidator(unique)]
Overrides = dict[str, Any]
"""Dotted key -> value."""


class Block(Model):
    """Lists that are crossed; one that is left out is the grid's."""

    dataset: Names | None = None
    student: Names | None = None
    variant: Names | None = None
    shot: Shots | None = None

    @model_validator(mode="after")
    def _says_something(self) -> "Block":
        if not self.model_fields_set:
            raise problem("is empty; name a list")
        return self


def distinct(blocks: tuple[Block, ...]) -> tuple[Block, ...]:
    """Refuse a block that is written twice."""
    for number, block in enumerate(blocks):
        if block in blocks[:number]:
            raise problem(f"{number} is the same block as {blocks.index(block)}; write it once")
    return blocks


class GivenGrid(Model):
    """The grid of params.yaml; a list that is left out is the preset's."""

    dataset: Names = ()
    student: Names = ()
    variant: VariantNames = ()
    shot: Shots = ()
    seed: Seeds = ()


class Grid(Model):
    """The lists that are crossed."""

    dataset: Names
    student: Names
    variant: Names
    shot: Shots
    seed: Seeds


class Params(Model):
    """params.yaml, the one file a user edits."""

    experiment: Name
    grid: GivenGrid = Field(default_factory=GivenGrid)
    overrides: Overrides = Field(default_factory=dict)
    conf: Annotated[tuple[Text, ...], Sequence, AfterValidator(unique)] = ()
    plugins: Annotated[tuple[Text, ...], Sequence, AfterValidator(unique)] = ()


class TeacherPair(Model):
    """A teacher for each of images and texts, which need not share a space."""

    vision: Name
    text: Name


NamedTeacher = Annotated[Name | TeacherPair, says_text("one name, or {vision: NAME, text: NAME}")]


def by_text(given: Any) -> Any:
    """100: and "100": are one shot."""
    return {str(key): value for key, value in given.items()} if isinstance(given, Mapping) else given


ShotKey = Annotated[
    str, Field(pattern=rf"^({PERCENTAGE}|[1-9][0-9]*|full)$"), says("a shot, such as 100, 1pct or full")
]


class ShotPart(Model):
    """What of a variant differs for one shot; its other keys are settings of the method."""

    model_config = ConfigDict(extra="allow")

    training: PartialRecipe | None = None


ByShot = Annotated[dict[ShotKey, ShotPart | None], BeforeValidator(by_text)]


class TaskPart(Model):
    """What of a variant differs for one task; its other keys are settings of the method."""

    model_config = ConfigDict(extra="allow")

    training: PartialRecipe | None = None
    init: Name | None = None
    by_shot: ByShot | None = None


class Variant(Model):
    """A named method with its teacher; its other keys are settings of the method, which `composition` checks."""

    model_config = ConfigDict(extra="allow")

    method: Name
    teacher: NamedTeacher | None = None
    init: Name | None = None
    training: PartialRecipe | None = None
    by_shot: ByShot | None = None
    by_task: dict[Task, TaskPart | None] | None = None

    @property
    def teachers(self) -> list[str]:
        """The names of its distinct teachers, that of images first."""
        one = self.teacher
        return list(dict.fromkeys([one.vision, one.text])) if isinstance(one, TeacherPair) else [one] if one else []

    def of_task(self, task: str) -> TaskPart:
        """What differs for a task."""
        return (self.by_task or {}).get(task) or TaskPart()


class Training(PartialRecipe):
    """A preset's ``training``: the recipe of all runs, and what differs by shot and by task."""

    by_shot: Annotated[dict[ShotKey, PartialRecipe], BeforeValidator(by_text)] | None = None
    by_task: dict[Task, PartialRecipe] | None = None


class Preset(Model):
    """A preset."""

    grid: Grid
    grids: Annotated[tuple[Block, ...], Sequence, AfterValidator(some), AfterValidator(distinct)] | None = None
    reference: Name
    highlight: Name | None = None
    variants: dict[Name, Variant]
    training: Training
    extra_evals: dict[Name, dict[Name, dict[str, Any] | None] | None] | None = None
    claims: dict[Name, dict[str, Any] | None] | None = None
    overrides: Overrides | None = None

    def extra_datasets(self, datasets: Iterable[str]) -> dict[str, str]:
        """The data sets of the extra evaluations of runs on `datasets`, with the dotted key that names each."""
        extra = {
            f"extra_evals.{name}.{key}.dataset": (conf or {}).get("dataset")
            for name in datasets
            for key, conf in ((self.extra_evals or {}).get(name) or {}).items()
        }
        return {str(dataset): key for key, dataset in extra.items() if dataset}
