"""What a language model of scenes reads: captions, and descriptions with a question and its answer; never an image.

A large BART has seen questions and answers in its pre-training corpus; the tiny one sees them here, with and
without a description that answers them. Scenes are drawn as for the teacher (`stream`), by generators of their own.
"""

from collections.abc import Iterator
from random import Random
from typing import NamedTuple

import numpy as np

from vlkd_steps.benchmarks.scenes import captions, hypotheses, questions, world
from vlkd_steps.benchmarks.scenes.wording import full_name
from vlkd_steps.benchmarks.scenes.world import ROWS, SIDE, Thing
from vlkd_steps.core.seeds import derive

COUNTS = (0.35, 0.25, 0.2, 0.1, 0.1)  # of 1..5 objects in a scene
SHARES = (0.4, 0.4, 0.2)  # captions; a description with question and answer; a question and its answer alone


def texts(seed: int, size: int) -> list[str]:
    """One batch of texts: a function of its arguments."""
    random = Random(derive(seed, "scenes texts"))
    asker = questions.Asker(world.PAIRS, random)
    found = []
    for things, cover in _scenes(seed, size):
        kind = random.choices(("caption", "description", "question"), SHARES)[0]
        if kind == "caption":
            found.append(captions.caption(things, cover, random))
            continue
        asked = asker.ask(things, 1)[0]
        said = f"question: {asked.text} answer: {asked.answer}"
        found.append(said if kind == "question" else f"{description(things, cover, random)}. {said}")
    return found


class Pair(NamedTuple):
    """A description, a sentence about it, and whether it follows: contradiction, entailment or neutral."""

    premise: str
    hypothesis: str
    label: str


def entailment(seed: int, size: int) -> list[Pair]:
    """Premises and hypotheses for a probe of a text encoder; classes are equally frequent."""
    random = Random(derive(seed, "scenes entailment"))
    found: list[Pair] = []
    for things, cover in _scenes(seed, -(-size // len(hypotheses.LABELS))):
        premise = description(things, cover, random)
        found += [Pair(premise, h.text, h.label) for h in hypotheses.propose(things, cover, world.PAIRS, random)]
    return found[:size]


def description(things: list[Thing], cover: int, random: Random) -> str:
    """Everything that a scene shows, row by row: ``in the top row a small red star and a cover``; rows in any order."""
    parts = []
    for row in random.sample(range(SIDE), SIDE):
        shown = [f"a {full_name(thing)}" for thing in things if thing.row == row]
        shown += ["a cover"] if cover // SIDE == row else []
        if shown:
            parts.append(f"in the {ROWS[row]} row {' and '.join(shown)}")
    return ", ".join(parts)


def _scenes(seed: int, size: int) -> Iterator[tuple[list[Thing], int]]:
    generator = np.random.default_rng(derive(seed, "scenes text world"))
    drawn = world.sample(size, generator, pairs=world.PAIRS, counts=COUNTS)
    return zip(drawn.things(), drawn.cover.tolist(), strict=True)
