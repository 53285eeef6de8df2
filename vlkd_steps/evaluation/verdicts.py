"""The words for what a test says, the same in `vlkd claims`, the report and the documentation (docs/protocol.md).

- *held*: a primary claim whose p value is below 5 % after Holm's correction over all primary rows;
- *supported*: a secondary claim, the same with Benjamini and Hochberg's;
- *nominal*: the p value is below 5 % only without the correction, and the estimate is on the claim's side;
- *contradicted*: the same as held or supported, on the other side of the null hypothesis;
- *not decided*: all else, and whatever has fewer seeds than a verdict takes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from vlkd_steps.evaluation.significance import benjamini_hochberg, holm

HELD, SUPPORTED, NOMINAL, CONTRADICTED, NOT_DECIDED = "held", "supported", "nominal", "contradicted", "not decided"
WORDS = (HELD, SUPPORTED, NOMINAL, NOT_DECIDED, CONTRADICTED)
LEVEL = 0.05


@dataclass(frozen=True)
class RowTest:
    """A test of one row.

    Attributes:
        primary: whether it is of a primary claim.
        p: against the row's null hypothesis; None: there is no verdict, whatever the reason.
        p_against: that the contrary of the claim is true. A two-sided p value is both.
        towards: whether the estimate lies on the claim's side of the null hypothesis.
    """

    primary: bool
    p: float | None
    p_against: float | None = None
    towards: bool = True


def verdicts(tests: Sequence[RowTest]) -> list[tuple[str, float | None]]:
    """The word for each row, and its p value after the correction over the rows of its level.

    A primary row without a p value counts in Holm's correction all the same, since it was declared.
    """
    found: list[tuple[str, float | None]] = [(NOT_DECIDED, None)] * len(tests)
    for primary in (True, False):
        mine = [place for place, test in enumerate(tests) if test.primary == primary]
        p_values = _adjusted([tests[place].p for place in mine], primary)
        against = _adjusted([tests[place].p_against if tests[place].p is not None else None for place in mine], primary)
        for place, p, p_against in zip(mine, p_values, against, strict=True):
            if tests[place].p is not None:
                found[place] = _word(tests[place], p, p_against), p
    return found


def _adjusted(p_values: Sequence[float | None], primary: bool) -> list[float | None]:
    return holm([1.0 if p is None else p for p in p_values]) if primary else benjamini_hochberg(p_values)


def _word(test: RowTest, p: float | None, p_against: float | None) -> str:
    if not test.towards:
        return CONTRADICTED if p_against is not None and p_against < LEVEL else NOT_DECIDED
    if p is not None and p < LEVEL:
        return HELD if test.primary else SUPPORTED
    return NOMINAL if test.p is not None and test.p < LEVEL else NOT_DECIDED
