"""What a language model of scenes reads: captions, and descriptions with a question and its answer; never an image.

A large BART has seen questions and answers in its pre-training corpus; the tiny one sees them here, with and
without a description that answers them. Scenes are drawn as for the teacher (`stream`), by generators of their own.
"""

from collections.abc import Iterator, Sequence
from random import Random
from typing import NamedTuple

import numpy as np

from vlkd_steps.benchmarks.scenes import captions, hypotheses, questions, world
from vlkd_steps.benchmarks.scenes.wording import full_name
from vlkd_steps.benchmarks.scenes.world import ROWS, SIDE, Thing
from vlkd_steps.core.seeds import derive

COLUMNS = ("left", "middle", "right")
COUNTS = (0.35, 0.25, 0.2, 0.1, 0.1)  # of 1..5 objects in a scene
SHARES = (0.4, 0.4, 0.2)  # captions; a description with question and answer; a question and its answer alone


class Asked(NamedTuple):
    """A text that ends where its answer goes, and the answer, one word."""

    text: str
    answer: str


def texts(seed: int, size: int) -> list[str]:
    """One batch of texts: a function of its arguments."""
    random = Random(derive(seed, "scenes texts"))
    asker = questions.Asker(world.PAIRS, random)
    found = []
    for things, cover in _scenes(seed, size):
        kind = random.choices(("caption", "description", "question"), SHARES)[0]
        if kind == "caption":
            found.append(captions.caption(things, cover, random))
        else:
            asked = _asked(asker, things)
            described = f"{description(things, cover, random)}. " if kind == "description" else ""
            found.append(f"{described}{asked.text} {asked.answer}")
    return found


def answerable(seed: int, size: int, counts: Sequence[float] = COUNTS) -> list[Asked]:
    """Descriptions, each with a question that it answers: a function of the arguments.

    Args:
        counts: weights of 1, 2, ... objects in a scene.
    """
    random = Random(derive(seed, "scenes answerable"))
    asker = questions.Asker(world.PAIRS, random)
    found = []
    for things, cover in _scenes(seed, size, counts):
        asked = _asked(asker, things)
        found.append(Asked(f"{description(things, cover, random)}. {asked.text}", asked.answer))
    return found


def _asked(asker: questions.Asker, things: list[Thing]) -> Asked:
    question = asker.ask(things, 1)[0]
    return Asked(f"question: {question.text} answer:", question.answer)


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
    """All that a scene shows and where, in any order: ``a small red star top left, a cover middle right``."""
    parts = [f"a {full_name(thing)} {_place(thing.cell)}" for thing in things] + [f"a cover {_place(cover)}"]
    return ", ".join(random.sample(parts, len(parts)))


def _place(cell: int) -> str:
    return f"{ROWS[cell // SIDE]} {COLUMNS[cell % SIDE]}"


def _scenes(seed: int, size: int, counts: Sequence[float] = COUNTS) -> Iterator[tuple[list[Thing], int]]:
    generator = np.random.default_rng(derive(seed, "scenes text world"))
    drawn = world.sample(size, generator, pairs=world.PAIRS, counts=counts)
    return zip(drawn.things(), drawn.cover.tolist(), strict=True)
