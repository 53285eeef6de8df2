"""Words unrelated to the image, and the names of objects: shared by all texts of scenes.

The fillers give keyness and visual relevance (docs/papers.md, "Token selection") words to leave out. They
are drawn independently of the image and of the answer.
"""

from random import Random

from vlkd_steps.benchmarks.scenes.world import COLORS, ROWS, SHAPES, SIZES, Thing

ADJECTIVES = (
    *("careful", "curious", "patient", "cheerful", "sleepy", "clever"),
    *("friendly", "gentle", "hungry", "quiet", "proud", "famous"),
)
PEOPLE = (
    *("artist", "painter", "visitor", "teacher", "neighbor", "keeper", "guest"),
    *("uncle", "gardener", "baker", "sailor", "pilot", "farmer", "tailor"),
)
TIMES = ("today", "yesterday", "tonight", "recently", "finally", "earlier")
PLURALS = tuple("crosses" if shape == "cross" else f"{shape}s" for shape in SHAPES)
NUMBERS = ("zero", "one", "two", "three", "four", "five")

VISUAL_WORDS = frozenset(
    [*COLORS, *SHAPES, *PLURALS, *SIZES, *ROWS, "above", "below", "left", "right", "cover", "covered"]
)
"""Words that name something visible; a question holds at most two of them."""


def fillers(random: Random) -> dict[str, str]:
    """One value for each filler slot of a sentence frame: adj, who, when."""
    return {"adj": random.choice(ADJECTIVES), "who": random.choice(PEOPLE), "when": random.choice(TIMES)}


def pair_name(color: int, shape: int) -> str:
    """``red star``."""
    return f"{COLORS[color]} {SHAPES[shape]}"


def full_name(thing: Thing) -> str:
    """``small red star``."""
    return f"{SIZES[thing.size]} {COLORS[thing.color]} {SHAPES[thing.shape]}"
