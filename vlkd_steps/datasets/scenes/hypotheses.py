"""Hypotheses about a scene in three classes, which neither text alone nor image alone gives away (SNLI-VE's task).

The rule: what the named row shows is entailed; what it does not show is neutral if that row holds the
covered cell (it might be behind the cover), and contradicted if it does not. Every scene gets exactly one
hypothesis of each class, so the image alone says nothing; thing and row are drawn alike in all three
classes, so the text alone says nothing.
"""

from collections.abc import Sequence
from random import Random
from typing import NamedTuple

from vlkd_steps.datasets.scenes import frames
from vlkd_steps.datasets.scenes.wording import fillers, pair_name
from vlkd_steps.datasets.scenes.world import ROWS, SIDE, Pair, Thing

LABELS = ("contradiction", "entailment", "neutral")


class Hypothesis(NamedTuple):
    """A sentence and its class, with the pair and the row that it names."""

    text: str
    label: str
    pair: Pair
    row: int


def label(things: Sequence[Thing], cover: int, pair: Pair, row: int) -> str:
    """The class of "there is a `pair` in `row`" for a scene with these visible objects and this covered cell."""
    if any(thing.pair == pair and thing.row == row for thing in things):
        return "entailment"
    return "neutral" if cover // SIDE == row else "contradiction"


def propose(things: list[Thing], cover: int, pairs: Sequence[Pair], random: Random) -> list[Hypothesis]:
    """One hypothesis of each class, in random order.

    Args:
        things: the visible objects, at least one of them of `pairs`.
        cover: the covered cell.
        pairs: what hypotheses are about.
        random: the source of chance.
    """
    covered = cover // SIDE
    seen = [thing for thing in things if thing.pair in pairs]
    beside = [thing for thing in seen if thing.row == covered]
    # Else "the named row holds the cover" would almost say "neutral".
    entailed = random.choice(beside if beside and random.random() < 0.7 else seen)
    other_row = random.choice([row for row in range(SIDE) if row != covered])
    named = [
        (entailed.pair, entailed.row),
        (_absent(things, covered, pairs, random), covered),
        (_absent(things, other_row, pairs, random), other_row),
    ]
    random.shuffle(named)
    return [Hypothesis(_word(pair, row, random), label(things, cover, pair, row), pair, row) for pair, row in named]


def _absent(things: list[Thing], row: int, pairs: Sequence[Pair], random: Random) -> Pair:
    """A pair that `row` does not show: often one that another row does, or a new mixture of what is there."""
    here = {thing.pair for thing in things if thing.row == row}
    elsewhere = [thing.pair for thing in things if thing.pair in pairs and thing.pair not in here]
    chance = random.random()
    if elsewhere and chance < 0.55:
        return random.choice(elsewhere)
    if chance < 0.8:
        mixed = {(a.color, b.shape) for a in things for b in things} - {thing.pair for thing in things}
        candidates = [pair for pair in sorted(mixed) if pair in pairs]
        if candidates:
            return random.choice(candidates)
    return random.choice([pair for pair in pairs if pair not in here])


def _word(pair: Pair, row: int, random: Random) -> str:
    frame = random.choice(frames.HYPOTHESES)
    return frame.format(x=pair_name(*pair), row=ROWS[row], **fillers(random))


def annotate(gold: str, random: Random) -> list[str]:
    """Five annotators' labels; at most two differ from the gold one, as in SNLI."""
    wrong = random.choices((0, 1, 2), weights=(0.7, 0.22, 0.08))[0]
    labels = [random.choice([other for other in LABELS if other != gold]) for _ in range(wrong)]
    labels += [gold] * (5 - wrong)
    random.shuffle(labels)
    return labels
