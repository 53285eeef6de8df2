"""Claims that runs are tested for: a preset's ``claims``, and lists of them that presets extend, conf/claims/*.yaml.

What is claimed, and at which level, is written down before anything is run; `vlkd claims` only reads it.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from vlkd_steps.config.models.base import Count, FromZero, Model, Name, Names, Number, Task, Text, problem, says, some
from vlkd_steps.config.models.preset import ShotKey, Shots, VariantName, by_text

SEEDS = 5
"""The fewest seeds that a verdict takes."""


class Pair(Model):
    """The variants that are compared at one shot, where they are others than at the rest."""

    variant: VariantName
    reference: VariantName


class ListedClaim(Model):
    """What is claimed, wherever it is tested.

    Attributes:
        text: the claim in words; default: what is tested, such as ``variant > reference`` or ``variant < reference``.
        test: ``gain``: `variant` minus `reference`, the mean over the shots; ``slope``: how that changes when the
            training questions are ten times as many; ``measure``: by how many percent `variant` differs from
            `reference` in a number of a measure (`extra_evals`), the mean over the shots; ``same_tensors``: trained
            students of both have tensors of the same names and shapes.
        metric: the measure's number, such as ``infilling`` of ``forgetting``.
        direction: whether the gain (or slope) is claimed to lie above or below zero, or on either side of it.
        margin: points (of a measure: percent) by which it may miss zero on the wrong side: "no loss" is a gain above
            minus the margin.
        level: a primary claim has one row for each task, and Holm's correction over all primary rows; a secondary one
            has Benjamini and Hochberg's over all secondary rows.
        seeds: the fewest that the verdict takes.
        stated: the paper's figure by task: a gain over the reference in percent of the reference.
        note: what else is to be known of it; it is printed below the tables.
    """

    text: Text | None = None
    test: Literal["gain", "slope", "measure", "same_tensors"] = "gain"
    metric: Text | None = None
    variant: VariantName
    reference: VariantName
    direction: Literal["above", "below", "either"] = "above"
    margin: FromZero = 0
    level: Literal["primary", "secondary"]
    seeds: Annotated[Count, Field(ge=SEEDS), says(f"a number of seeds, {SEEDS} or more")] = SEEDS
    stated: Annotated[dict[Task, Annotated[Number, says("a number")]], AfterValidator(some)] | None = None
    note: Text | None = None

    @model_validator(mode="before")
    @classmethod
    def _says_no_runs(cls, given: Any) -> Any:
        where = [key for key in Claim.model_fields if key not in ListedClaim.model_fields]
        if cls is ListedClaim and isinstance(given, Mapping) and (other := [key for key in where if key in given]):
            raise problem(
                f"{other[0]} belongs to the preset that extends this claim, and a list says what is claimed; write it "
                f"there (and so with {', '.join(where)})"
            )
        return given

    @model_validator(mode="after")
    def _hangs_together(self) -> "ListedClaim":
        if self.margin and (self.test not in ("gain", "measure") or self.direction == "either"):
            raise problem("margin is read only with test: gain or measure and direction: above or below; delete it")
        if (self.metric is not None) != (self.test == "measure"):
            raise problem("metric and test: measure belong together; name the measure's number, or delete metric")
        unread = {"same_tensors": {"direction", "seeds", "set", "stated"}, "slope": {"stated"}}.get(self.test, set())
        if useless := [key for key in sorted(self.model_fields_set & unread) if getattr(self, key) is not None]:
            raise problem(f"{useless[0]} is not read with test: {self.test}; delete it")
        return self


class ClaimList(Model):
    """A file of claims."""

    claims: Annotated[dict[Name, ListedClaim], AfterValidator(some)]


class Claim(ListedClaim):
    """A claim and where it is tested: a row for each data set, student and evaluation set.

    Attributes:
        extends: the claim of a list that this one is, ``<list>.<claim>``; keys written here replace the list's.
        student: default: those of the grid.
        shot: those that a gain is the mean over, or a slope the slope over.
        by_shot: the variants that are compared at a shot, where they are others.
    """

    extends: Text | None = None
    dataset: Names
    student: Names | None = None
    set: Names = ("test",)
    shot: Shots
    by_shot: Annotated[dict[ShotKey, Pair], BeforeValidator(by_text)] = Field(default_factory=dict)

    def pair(self, shot: str) -> Pair:
        """The variants that are compared at a shot."""
        return self.by_shot.get(shot) or Pair(variant=self.variant, reference=self.reference)

    @property
    def compared(self) -> tuple[str, str | None, str, float, dict[str, Pair]]:
        """What is claimed, whatever the claim is called and wherever it is tested."""
        return self.test, self.metric, self.direction, self.margin, {shot: self.pair(shot) for shot in self.shots}

    @property
    def shots(self) -> tuple[str, ...]:
        return tuple(map(str, self.shot))

    @model_validator(mode="after")
    def _can_be_tested(self) -> "Claim":
        if self.test == "slope" and (len(self.shot) < 3 or not all(shot.isdecimal() for shot in self.shots)):
            raise problem("test: slope needs three numbers of training questions or more in shot; name them")
        if other := [shot for shot in self.by_shot if shot not in self.shots]:
            raise problem(f"by_shot names {other[0]}, which is not in shot; delete it, or add it to shot")
        if self.test == "measure" and self.set == ("test",):
            raise problem("test: measure needs set: [NAME], the measure's name in extra_evals")
        for shot in self.shots:
            pair = self.pair(shot)
            if pair.variant == pair.reference:
                raise problem(f"compares {pair.variant} with itself; name another reference")
        if self.level == "primary" and len(self.set) > 1:
            raise problem("is primary and names several sets; a primary claim has one row for each task: name one set")
        return self
