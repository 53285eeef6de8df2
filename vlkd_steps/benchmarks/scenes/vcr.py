"""Questions with four answers and four rationales in the form of VCR v1.

The shapes stand for persons: every object's category is ``person``, so a tag says nothing about how its object
looks, and the person-tag and pronoun rules of Ye & Kovashka apply (docs/papers.md, "Domain shifts").
As in the original VCR, right choices repeat the question's tag or its pronoun more often than wrong ones: a
shortcut that the rule sets remove.

No wrong rationale names a colour and a shape together, on its own or with the right answer before it, that could not
be right in its split. Else every held-out pair would be wrong in training, and "never seen" would mean "never right":
a text-only model then chose the right rationale of `unseen_pairs` in 10 % of the cases, where chance is 25.
"""

import functools
from collections.abc import Collection
from random import Random
from typing import Any

import numpy as np

from vlkd_steps.benchmarks.scenes.drawing import CELL, WIDTH, sprite_index, sprites
from vlkd_steps.benchmarks.scenes.wording import PLURALS
from vlkd_steps.benchmarks.scenes.world import COLORS, ROWS, SHAPES, SIDE, Pair, Scenes, Thing

Token = str | list[int]
"""A word, or a reference to objects by their indices."""

KINDS = ("color", "shape", "row", "share")


def metadata(scenes: Scenes) -> list[dict[str, Any]]:
    """Each scene's objects as VCR's metadata: its visible shapes ordered by cell, then the cover.

    Boxes are [x1, y1, x2, y2, score] in pixels, segms a list of polygons [[x, y], ...] an object.
    """
    index = sprite_index(scenes).tolist()
    result = []
    for things, kinds, cover in zip(scenes.things(), index, scenes.cover.tolist(), strict=True):
        outlines = [_outline(kinds[thing.cell], thing.cell) for thing in things]
        outlines.append(_square(cover))
        result.append(
            {
                "boxes": [box for box, _ in outlines],
                "height": WIDTH,
                "names": names(len(things)),
                "segms": [[polygon] for _, polygon in outlines],
                "width": WIDTH,
            }
        )
    return result


def names(shapes: int) -> list[str]:
    """The categories of a scene's objects."""
    return ["person"] * shapes + ["cover"]


@functools.cache
def _outline(sprite: int, cell: int) -> tuple[list[float], list[list[float]]]:
    """Box and polygon of a sprite in a cell of the image."""
    x, y = cell % SIDE * CELL, cell // SIDE * CELL
    points = sprites().corners[sprite].clip(0, CELL) + np.array((x, y))
    return [*points.min(axis=0).round(1).tolist(), *points.max(axis=0).round(1).tolist(), 1.0], points.round(1).tolist()


@functools.cache
def _square(cell: int) -> tuple[list[float], list[list[float]]]:
    """Box and polygon of a covered cell."""
    x, y = float(cell % SIDE * CELL), float(cell // SIDE * CELL)
    return [x, y, x + CELL, y + CELL, 1.0], [[x, y], [x + CELL, y], [x + CELL, y + CELL], [x, y + CELL]]


def item(
    things: list[Thing], pairs: Collection[Pair], random: Random, drawn: Collection[Pair] | None = None
) -> dict[str, Any]:
    """One question about an object of these `pairs`: the fields of VCR's jsonl that depend on the scene alone.

    Args:
        things: the scene's visible objects.
        drawn: the pairs that the split's images may show; None: `pairs`.
    """
    asked = [i for i, thing in enumerate(things) if thing.pair in pairs]
    shared = [(i, j, by_color) for i, j, by_color in _shared(things) if i in asked or j in asked]
    kind = random.choice(KINDS if shared else KINDS[:-1])
    if kind == "share":
        question, answers, rationales = _share(things, *random.choice(shared), pairs, drawn or pairs, random)
    else:
        question, answers, rationales = _ask(kind, things, random.choice(asked), pairs, random)
    answer_label, rationale_label = random.randrange(4), random.randrange(4)
    answers.insert(answer_label, answers.pop(0))
    rationales.insert(rationale_label, rationales.pop(0))
    return {
        "objects": names(len(things)),
        "question": question,
        "question_orig": spell(question),
        "answer_choices": answers,
        "answer_label": answer_label,
        "answer_orig": spell(answers[answer_label]),
        "rationale_choices": rationales,
        "rationale_label": rationale_label,
        "rationale_orig": spell(rationales[rationale_label]),
    }


def spell(tokens: list[Token]) -> str:
    """Tokens as VCR's ``*_orig`` text, where objects are counted from 1."""
    words = [token if isinstance(token, str) else " and ".join(str(i + 1) for i in token) for token in tokens]
    return " ".join(words[:-1]) + words[-1]


def _ask(
    kind: str, things: list[Thing], subject: int, pairs: Collection[Pair], random: Random
) -> tuple[list[Token], list[list[Token]], list[list[Token]]]:
    """A question about one object; right answer and right rationale come first."""
    thing, pronoun = things[subject], random.choice(("he", "she"))
    if kind == "color":
        question: list[Token] = ["What", "color", "does", [subject], "wear", "?"]
        truth, words = COLORS[thing.color], list(COLORS)
        said = {word: ["wears", word, "."] for word in words}
        reasons = [
            f"the {word} in the {row} row" for i, word in enumerate(SHAPES) if (thing.color, i) in pairs for row in ROWS
        ]
        seen = [f"the {SHAPES[other.shape]} in the {ROWS[other.row]} row" for other in things]
    elif kind == "shape":
        question = ["What", "does", [subject], "look", "like", "?"]
        truth, words = SHAPES[thing.shape], list(SHAPES)
        said = {word: ["looks", "like", "a", word, "."] for word in words}
        reasons = [
            f"the {word} one in the {row} row"
            for i, word in enumerate(COLORS)
            if (i, thing.shape) in pairs
            for row in ROWS
        ]
        seen = [f"the {COLORS[other.color]} one in the {ROWS[other.row]} row" for other in things]
    else:
        question = ["Where", "does", [subject], "stand", "?"]
        truth, words = ROWS[thing.row], [*ROWS, "cover"]
        said = {word: ["stands", "in", "the", word, "row", "."] for word in ROWS}
        said["cover"] = ["hides", "behind", "the", "cover", "."]  # never true: what a tag names is visible
        reasons = [f"the {COLORS[color]} {SHAPES[shape]}" for color, shape in sorted(pairs)]
        seen = [f"the {COLORS[other.color]} {SHAPES[other.shape]}" for other in things]
    wrong = random.sample([word for word in words if word != truth], 3)
    answers = [[_subject(subject, things, pronoun, word == truth, random), *said[word]] for word in [truth, *wrong]]
    near = sorted({reason for reason in seen if reason != seen[subject] and reason in reasons})  # true of others here
    far = [reason for reason in reasons if reason not in seen]
    rest = random.sample(near, min(len(near), 2))
    rest += random.sample(far, 3 - len(rest))
    rationales = [
        [_subject(subject, things, pronoun, i == 0, random), "is", *reason.split(), "."]
        for i, reason in enumerate([seen[subject], *rest])
    ]
    return question, answers, rationales


def _subject(subject: int, things: list[Thing], pronoun: str, right: bool, random: Random) -> Token:
    """Who a choice is about: right ones name the question's tag or pronoun, wrong ones often another tag."""
    chance = random.random()
    if right or len(things) == 1 or chance > 0.4:
        return [subject] if random.random() < 0.6 else pronoun.capitalize()
    return [random.choice([other for other in range(len(things)) if other != subject])]


def _shared(things: list[Thing]) -> list[tuple[int, int, bool]]:
    """Pairs of objects that have either their colour in common (True) or their shape (False)."""
    return [
        (i, j, a.color == b.color)
        for i, a in enumerate(things)
        for j, b in enumerate(things)
        if i < j and (a.color == b.color) != (a.shape == b.shape)
    ]


def _share(
    things: list[Thing],
    i: int,
    j: int,
    by_color: bool,
    pairs: Collection[Pair],
    drawn: Collection[Pair],
    random: Random,
) -> tuple[list[Token], list[list[Token]], list[list[Token]]]:
    """What two objects have in common; right answer and right rationale come first."""
    question: list[Token] = ["What", "do", [i, j], "share", "?"]
    truth = f"are both {COLORS[things[i].color]}" if by_color else f"are both {PLURALS[things[i].shape]}"
    claims = [f"are both {word}" for word in (*COLORS, *PLURALS)]
    wrong = random.sample([claim for claim in claims if claim != truth], 3)
    answers = [[_pair(i, j, claim == truth, random), *claim.split(), "."] for claim in [truth, *wrong]]

    def described(a: Thing, b: Thing) -> str:
        if by_color:
            return f"are a {SHAPES[a.shape]} and a {SHAPES[b.shape]}"
        return f"are {COLORS[a.color]} and {COLORS[b.color]}"

    reason = described(things[i], things[j])
    turned = described(things[j], things[i])
    words = [f"a {shape}" for shape in SHAPES] if by_color else list(COLORS)
    own = [(things[i].color, n) if by_color else (n, things[i].shape) for n in range(len(words))]
    pairs_named = [
        (a, b) for a in range(len(words)) for b in range(len(words)) if a != b and {own[a], own[b]} <= {*drawn}
    ]
    others = [f"are {words[a]} and {words[b]}" for a, b in pairs_named if {own[a], own[b]} & {*pairs}]
    rest = random.sample([other for other in others if other not in (reason, turned)], 3)
    rationales = [[_pair(i, j, claim == reason, random), *claim.split(), "."] for claim in [reason, *rest]]
    return question, answers, rationales


def _pair(i: int, j: int, right: bool, random: Random) -> Token:
    return "They" if random.random() < (0.3 if right else 0.5) else [i, j]
