"""Sentences that describe a scene as a web caption would: true, partial, of varied form, at most 16 words."""

from collections import Counter
from random import Random

from vlkd_steps.benchmarks.scenes import frames
from vlkd_steps.benchmarks.scenes.wording import NUMBERS, PLURALS, fillers, pair_name
from vlkd_steps.benchmarks.scenes.world import COLORS, ROWS, SHAPES, SIDE, SIZES, Thing

MAX_WORDS = 16

_PREFIXES = ("", "", "", "", "a picture of ", "there is ", "the image shows ", "this picture contains ")
_STORIES = (
    "the {adj} {who} painted ",
    "our {adj} {who} made ",
    "{when} the {who} put here ",
    "the {who} sees {when} ",
    "please tell the {adj} {who} there is ",
)
_STRAY = frames.words()


def caption(things: list[Thing], cover: int | None, random: Random) -> str:
    """Describe a scene in one sentence.

    Args:
        things: its visible objects, at least one.
        cover: its covered cell, or None for an image without.
        random: the source of randomness.

    Returns:
        Lower-case words without a full stop.
    """
    body = _body(things, cover, random)
    opening = random.choice(_PREFIXES)
    chance = random.random()
    if chance < 0.3:
        opening = random.choice(_STORIES).format(**fillers(random))
    elif chance < 0.4:  # stray words, as near images on the web: so that the teacher learns to ignore them
        opening = "".join(f"{random.choice(_STRAY)} " for _ in range(random.randint(1, 4)))
    text = opening + body
    return text if len(text.split()) <= MAX_WORDS else body


def _body(things: list[Thing], cover: int | None, random: Random) -> str:
    chance = random.random()
    if cover is not None and chance < 0.08:
        return f"a cover in the {ROWS[cover // SIDE]} row"
    if len(things) == 1:
        return _placed(things[0], random) if chance < 0.35 else phrase(things[0], random)
    if chance < 0.18:
        return _counted(things, random)
    if chance < 0.38:
        relation = _related(things, random)
        if relation:
            return relation
    if chance < 0.5:
        return _placed(random.choice(things), random)
    if chance < 0.7:
        return _row(things, cover, random)
    shown = random.sample(things, min(len(things), 3))
    return _join([phrase(thing, random) for thing in shown])


def phrase(thing: Thing, random: Random) -> str:
    """``a small red star``; now and then without its size, colour or shape."""
    chance = random.random()
    if chance < 0.45:
        return f"a {COLORS[thing.color]} {SHAPES[thing.shape]}"
    if chance < 0.75:
        return f"a {SIZES[thing.size]} {COLORS[thing.color]} {SHAPES[thing.shape]}"
    if chance < 0.82:
        return f"a {COLORS[thing.color]} {random.choice(('thing', 'shape'))}"
    if chance < 0.86:
        return f"something {COLORS[thing.color]}"
    if chance < 0.94:
        return f"a {SHAPES[thing.shape]}"
    return f"a {SIZES[thing.size]} {SHAPES[thing.shape]}"


def _placed(thing: Thing, random: Random) -> str:
    return f"{phrase(thing, random)} in the {ROWS[thing.row]} row"


def _row(things: list[Thing], cover: int | None, random: Random) -> str:
    """Everything that one row shows, or that it is empty or covered."""
    row = random.randrange(SIDE)
    names = [pair_name(thing.color, thing.shape) for thing in things if thing.row == row]
    parts = [f"a {name}" for name in names]
    if cover is not None and cover // SIDE == row:
        parts.append("a cover")
    return f"in the {ROWS[row]} row {_join(parts) if parts else 'nothing'}"


def _counted(things: list[Thing], random: Random) -> str:
    """How many objects there are of one shape, colour or pair, or in all."""
    thing, kind = random.choice(things), random.randrange(4)
    if kind == 0:
        number = sum(other.shape == thing.shape for other in things)
        return f"{NUMBERS[number]} {PLURALS[thing.shape] if number > 1 else SHAPES[thing.shape]}"
    if kind == 1:
        number = sum(other.color == thing.color for other in things)
        return f"{NUMBERS[number]} {COLORS[thing.color]} {'things' if number > 1 else 'thing'}"
    if kind == 2:
        tallies = sorted(Counter(other.pair for other in things).items())[:3]
        return _join([f"{NUMBERS[n]} {COLORS[c]} {PLURALS[s] if n > 1 else SHAPES[s]}" for (c, s), n in tallies])
    return f"{NUMBERS[len(things)]} things"


def _related(things: list[Thing], random: Random) -> str | None:
    """Two objects that are neighbours in a row or a column, if there are any."""
    pairs = [(a, b, word) for a in things for b in things if (word := direction(a, b))]
    if not pairs:
        return None
    a, b, word = random.choice(pairs)
    return f"{phrase(a, random)} {word} {phrase(b, random)}"


def direction(a: Thing, b: Thing) -> str | None:
    """Where `a` is if it is the direct neighbour of `b`: above, below, left of, right of; else None."""
    return {(-1, 0): "above", (1, 0): "below", (0, -1): "left of", (0, 1): "right of"}.get(
        (a.row - b.row, a.column - b.column)
    )


def _join(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def words() -> list[str]:
    """The fixed words of captions, sorted: all but names, numbers and fillers."""
    fixed = "a and something thing things shape in the row nothing cover"
    text = " ".join([*_PREFIXES, *(story.replace("{", " {") for story in _STORIES), fixed])
    return sorted({word for word in text.split() if "{" not in word})
