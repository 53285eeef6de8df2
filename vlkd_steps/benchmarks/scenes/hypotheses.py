"""Hypotheses about a scene in three classes, which neither text alone nor image alone reveals (SNLI-VE's task).

The rule: what the named row shows is entailed; what it does not show is neutral if that row holds the
covered cell (it might be behind the cover), and contradicted if it does not. Every scene gets exactly one
hypothesis of each class, so the image alone is uninformative; thing and row are drawn alike in all three
classes, so the text alone is uninformative.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from random import Random
from typing import NamedTuple

from vlkd_steps.benchmarks.scenes import frames
from vlkd_steps.benchmarks.scenes.wording import pair_name
from vlkd_steps.benchmarks.scenes.world import COLORS, ROWS, SHAPES, SIDE, Pair, Thing

LABELS = ("contradiction", "entailment", "neutral")
KINDS: Mapping[str, float] = {"color": 0.4, "shape": 0.3, "pair": 0.3}
"""How a hypothesis names what it is about, with weights: ``red thing``, ``star``, ``red star``."""
ELSEWHERE = 0.1  # share of untrue hypotheses about something that another row shows


class Named(NamedTuple):
    """What a hypothesis is about: a colour, a shape or both (indices; None is left open)."""

    color: int | None
    shape: int | None

    def fits(self, thing: Thing) -> bool:
        return self.color in (None, thing.color) and self.shape in (None, thing.shape)

    def words(self) -> str:
        if self.color is None:
            return SHAPES[self.shape or 0]
        return f"{COLORS[self.color]} thing" if self.shape is None else pair_name(self.color, self.shape)


class Hypothesis(NamedTuple):
    """A sentence and its class, with what it is about and the row that it names."""

    text: str
    label: str
    named: Named
    row: int


def label(things: Sequence[Thing], cover: int, named: Named, row: int) -> str:
    """The class of "there is a `named` in `row`" for a scene with these visible objects and this covered cell."""
    if any(named.fits(thing) and thing.row == row for thing in things):
        return "entailment"
    return "neutral" if cover // SIDE == row else "contradiction"


def propose(
    things: list[Thing], cover: int, pairs: Sequence[Pair], random: Random, kinds: Mapping[str, float] = KINDS
) -> list[Hypothesis]:
    """One hypothesis of each class, in random order.

    Args:
        things: the visible objects, at least one of them of `pairs`.
        cover: the covered cell.
        pairs: what hypotheses are about; one that names a colour or a shape alone is about any thing of it.
        random: the source of randomness.
        kinds: weights of the ways to name things.
    """
    covered = cover // SIDE
    thing = random.choice([thing for thing in things if thing.pair in pairs])
    other_row = random.choice([row for row in range(SIDE) if row != covered])
    named = [
        (_named(thing.pair, _kind(kinds, random)), thing.row),
        (_absent(things, covered, pairs, _kind(kinds, random), random), covered),
        (_absent(things, other_row, pairs, _kind(kinds, random), random), other_row),
    ]
    random.shuffle(named)
    return [Hypothesis(_word(what, row, random), label(things, cover, what, row), what, row) for what, row in named]


def _kind(kinds: Mapping[str, float], random: Random) -> str:
    return random.choices(list(kinds), list(kinds.values()))[0]


def _named(pair: Pair, kind: str) -> Named:
    color, shape = pair
    return Named(None if kind == "shape" else color, None if kind == "color" else shape)


def _absent(things: list[Thing], row: int, pairs: Sequence[Pair], kind: str, random: Random) -> Named:
    """Something that `row` does not show: rarely what another row shows, mostly something absent from the scene."""
    candidates = _candidates(tuple(pairs), kind)
    shown = {named for named in candidates for thing in things if named.fits(thing)}
    here = {named for named in shown for thing in things if named.fits(thing) and thing.row == row}
    elsewhere = [named for named in candidates if named in shown - here]
    if elsewhere and random.random() < ELSEWHERE:
        return random.choice(elsewhere)
    return random.choice([named for named in candidates if named not in shown])


@cache
def _candidates(pairs: tuple[Pair, ...], kind: str) -> list[Named]:
    return list(dict.fromkeys(_named(pair, kind) for pair in pairs))


def _word(named: Named, row: int, random: Random) -> str:
    return random.choice(frames.HYPOTHESES).format(x=named.words(), row=ROWS[row])


def annotate(gold: str, random: Random) -> list[str]:
    """Five annotators' labels; at most two differ from the gold one, as in SNLI."""
    wrong = random.choices((0, 1, 2), weights=(0.7, 0.22, 0.08))[0]
    labels = [random.choice([other for other in LABELS if other != gold]) for _ in range(wrong)]
    labels += [gold] * (5 - wrong)
    random.shuffle(labels)
    return labels
