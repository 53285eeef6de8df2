"""VQA-CP's re-split for any data in VQA v2's format: answer priors that differ between training and test.

As Agrawal et al. (CVPR 2018) describe it (recalled, not their code): questions of one type with one answer form a
group, and a group goes whole to training or to test. Groups are walked through once; each goes to test, unless it is
taken, and after each one the free group that covers most of the concepts (words) that test has and training has not
goes to training. What is left when test has its share goes to training. So test questions are about what training has
seen, but never with the answers that training has seen for that type of question.

Ours: the order of the walk (a hash of the group), that a group too large for what test still lacks is passed over, and
`exchanged`: a share of every group's questions that goes to the other side, so that in training the answers of test are
rare instead of absent. Without it a classifier that has learned which answers a type of question has is always wrong.
"""

import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from vlkd_steps.core.errors import UserError
from vlkd_steps.core.seeds import position

VERSION = 1
"""Of this division. Raise it when the same questions would be divided otherwise."""

TEST_SHARE = 1 / 3
OTHER = {"train": "test", "test": "train"}

Group = tuple[str, str]
"""A question type and an answer."""

_STOP_WORDS = """
a an and any are at be been by can could did do does for from had has have he her his how i if in into is
it its many much of on or she that the their there these they this those to was were what when where
which who whose why will with would you your
"""
STOP_WORDS = frozenset(_STOP_WORDS.split())
"""Words that are no concepts."""

_WORD = re.compile(r"[a-z0-9]+")


def assign(groups: Sequence[Group], texts: Iterable[str], test_share: float = TEST_SHARE) -> dict[Group, str]:
    """``train`` or ``test`` for every group; the order of the questions leaves no trace.

    Args:
        groups: (question type, answer) of every question.
        texts: the questions, in the same order.
        test_share: how much of the questions test gets at most.

    Raises:
        UserError: the share is not in (0, 1), or no group is small enough for it.
    """
    if not 0 < test_share < 1:
        raise UserError(f"changing_priors: test_share is {test_share}; it must be between 0 and 1")
    sizes: dict[Group, int] = {}
    words: dict[Group, set[str]] = {}
    for group, text in zip(groups, texts, strict=True):
        sizes[group] = sizes.get(group, 0) + 1
        words.setdefault(group, set()).update(_WORD.findall(text.lower()))
    walk = sorted(sizes, key=lambda group: (position("\x1f".join(group), "changing_priors"), group))
    remaining = int(test_share * len(groups))
    cover = _Cover([(words[group] | set(_WORD.findall(group[1].lower()))) - STOP_WORDS for group in walk])
    part: dict[Group, str] = {}
    for number, group in enumerate(walk):
        if group in part or sizes[group] > remaining:
            continue
        remaining -= sizes[group]
        part[group] = "test"
        cover.test(number)
        if (covering := cover.best()) is not None:
            part[walk[covering]] = "train"
            cover.train(covering)
    if not part:
        raise UserError(
            f"changing_priors: none of the {len(sizes)} groups of question type and answer is small enough for a test "
            f"share of {test_share:.2f}; take a larger share or more data"
        )
    return {group: part.get(group, "train") for group in walk}


def divide(
    ids: Sequence[int], groups: Sequence[Group], part_of: Mapping[Group, str], exchanged: float = 0
) -> list[str]:
    """The part of every question: its group's, or the other one for the share `exchanged` of each group.

    Args:
        ids: of the questions, by whose hash they are exchanged; groups: theirs, in the same order.
        part_of: the part of every group (`assign`).

    Raises:
        UserError: the share is not in [0, 1).
    """
    if not 0 <= exchanged < 1:
        raise UserError(f"changing_priors: exchanged is {exchanged}; it must be 0 or more and below 1")
    parts = []
    for question_id, group in zip(ids, groups, strict=True):
        other = position(str(question_id), "changing_priors exchanged") < exchanged
        parts.append(OTHER[part_of[group]] if other else part_of[group])
    return parts


class _Cover:
    """How many of test's concepts that training lacks each free group would cover, kept up to date by number."""

    def __init__(self, concepts: Sequence[set[str]]) -> None:
        holders: dict[str, list[int]] = {}
        for number, of_group in enumerate(concepts):
            for concept in of_group:
                holders.setdefault(concept, []).append(number)
        self.concepts = concepts
        self.holders = {concept: np.array(numbers) for concept, numbers in holders.items()}
        self.gain = np.zeros(len(concepts), np.int64)
        self.free = np.ones(len(concepts), bool)
        self.lacking: set[str] = set()
        self.covered: set[str] = set()

    def test(self, number: int) -> None:
        self.free[number] = False
        for concept in self.concepts[number] - self.covered - self.lacking:
            self.lacking.add(concept)
            self.gain[self.holders[concept]] += 1

    def train(self, number: int) -> None:
        self.free[number] = False
        for concept in self.concepts[number] & self.lacking:
            self.gain[self.holders[concept]] -= 1
        self.lacking -= self.concepts[number]
        self.covered |= self.concepts[number]

    def best(self) -> int | None:
        """The free group that covers most, the first in the walk on ties; None where none covers any."""
        gains = np.where(self.free, self.gain, 0)
        best = int(gains.argmax())
        return best if gains[best] > 0 else None
