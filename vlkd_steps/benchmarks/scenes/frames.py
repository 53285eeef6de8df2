"""Sentence frames of questions and hypotheses: ``{x}`` is the object, the other slots are fillers.

Each filled question has five to ten content words of which one or two are visual, and at most 13 words:
with its mark, [CLS] and [SEP] it fits 16 tokens. The frame is drawn independently of the answer.
"""

import string

QUESTIONS: dict[str, tuple[str, ...]] = {
    "color": (
        "which paint color did the {adj} {who} give the {x}?",
        "please tell the {adj} {who} what color the {x} has {when}?",
        "what color has the {x} that our {adj} {who} made {when}?",
        "the {adj} {who} asks {when} what color the {x} shows?",
        "can you name the color our {adj} {who} gave the {x}?",
    ),
    "shape": (
        "which shape did the {adj} {who} give the {x} thing {when}?",
        "please tell the {adj} {who} what shape the {x} thing has?",
        "what shape has the {x} thing that our {adj} {who} made?",
        "the {adj} {who} asks {when} what shape the {x} thing shows?",
        "can you name the {x} shape our {adj} {who} made {when}?",
    ),
    "size": (
        "what size did the {adj} {who} give the {x} {when}?",
        "please tell our {adj} {who} what size the {x} has?",
        "the {adj} {who} asks {when} what size the {x} shows?",
    ),
    "row": (
        "which row did the {adj} {who} choose for the {x} {when}?",
        "in which row does the {adj} {who} find the {x} {when}?",
        "please tell our {adj} {who} which row holds the {x}?",
    ),
    "exist": (
        "can the {adj} {who} find a {x} in this picture?",
        "does the {adj} {who} see a {x} in our picture {when}?",
        "did the {adj} {who} paint a {x} in this picture?",
        "please tell our {adj} {who} whether a {x} is showing {when}?",
    ),
    "count": (
        "how many {x} can the {adj} {who} count in this picture?",
        "how many {x} did the {adj} {who} paint in our picture?",
        "what number of {x} does our {adj} {who} see {when}?",
        "please tell the {adj} {who} how many {x} are showing {when}?",
    ),
    "next to, color": (
        "what color has the thing {x} our {adj} {who} made?",
        "which color did the {adj} {who} give the thing {x}?",
    ),
    "next to, shape": (
        "what shape has the thing {x} our {adj} {who} made?",
        "which shape did the {adj} {who} give the thing {x}?",
    ),
}

HYPOTHESES = (
    "there is a {x} in the {row} row.",
    "the {row} row shows a {x}.",
    "a {x} is in the {row} row.",
)
"""Short on purpose: a small student that must combine a word, a thing and a row has no capacity left for fillers."""

_CONNECTIVES = ("for", "made", "put", "says", "sees", "there")  # stray words of the teacher's captions


def words() -> list[str]:
    """The fixed words of all frames and of the teacher's stray ones, sorted: those that name nothing visible."""
    found = set(_CONNECTIVES)
    for frame in [*HYPOTHESES, *(frame for frames in QUESTIONS.values() for frame in frames)]:
        for text, *_ in string.Formatter().parse(frame):
            found.update(word.strip("?.,") for word in text.split())
    return sorted(found - {""})
