"""Questions about a scene, balanced so that they cannot be answered without looking (VQA v2's task).

For every wording of a question's core ("... the star?") the answers are kept as even as the images allow:
`Asker` counts its answers and prefers the one given too rarely. Ten simulated annotators then answer
each question, some of them wrongly.
"""

import bisect
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from random import Random
from typing import Any, NamedTuple

from vlkd_steps.benchmarks.scenes import frames
from vlkd_steps.benchmarks.scenes.captions import direction
from vlkd_steps.benchmarks.scenes.wording import NUMBERS, PLURALS, fillers, pair_name
from vlkd_steps.benchmarks.scenes.world import COLORS, ROWS, SHAPES, SIZES, Pair, Thing

MAX_COUNT = 3

ANSWERS: dict[str, tuple[str, ...]] = {
    "color": COLORS,
    "shape": SHAPES,
    "size": SIZES,
    "row": ROWS,
    "exist": ("yes", "no"),
    "count": tuple(str(n) for n in range(MAX_COUNT + 1)),
    "next to, color": COLORS,
    "next to, shape": SHAPES,
}
WEIGHTS: dict[str, float] = {
    "color": 0.24,
    "shape": 0.22,
    "exist": 0.20,
    "count": 0.12,
    "row": 0.08,
    "size": 0.06,
    "next to, color": 0.04,
    "next to, shape": 0.04,
}
"""The share of each kind of question (choice)."""
QUESTION_TYPES: dict[str, str] = {
    "color": "what color",
    "shape": "what shape",
    "size": "what size",
    "row": "which row",
    "exist": "is there",
    "count": "how many",
    "next to, color": "what is next to",
    "next to, shape": "what is next to",
}
ANSWER_TYPES: dict[str, str] = {"exist": "yes/no", "count": "number"}


class Question(NamedTuple):
    """One question: its kind (a key of ANSWERS), its subject, its wording and its true answer."""

    kind: str
    subject: str
    text: str
    answer: str


Core = tuple[str, str]
"""The subject of a question (the frame's ``{x}``), and the true answer."""


class Asker:
    """Asks about one scene after another and keeps kinds and answers balanced over all of them."""

    def __init__(self, pairs: Collection[Pair], random: Random) -> None:
        """Ask about objects of these `pairs` only; `random` is the source of randomness."""
        self._pairs = frozenset(pairs)
        self._absentees = sorted(self._pairs)
        self._random = random
        self._asked: Counter[str] = Counter()
        self._answered: Counter[tuple[str, str, str]] = Counter()
        self._subjects: Counter[tuple[str, str]] = Counter()

    def ask(self, things: list[Thing], number: int) -> list[Question]:
        """Up to `number` questions on different subjects about one scene's visible objects.

        There are fewer only where the scene shows none of these pairs.
        """
        questions: list[Question] = []
        while len(questions) < number:
            used = {(question.kind, question.subject) for question in questions}
            question = self._next(things, used)
            if question is None:
                break
            questions.append(question)
        return questions

    def _next(self, things: list[Thing], used: Collection[tuple[str, str]]) -> Question | None:
        for kind in sorted(WEIGHTS, key=lambda kind: self._asked[kind] / WEIGHTS[kind]):
            cores = [core for core in self._cores(kind, things) if (kind, core[0]) not in used]
            if cores:
                subject, answer = min(cores, key=lambda core: (self._surplus(kind, core), self._random.random()))
                self._asked[kind] += 1
                self._answered[kind, subject, answer] += 1
                self._subjects[kind, subject] += 1
                frame = self._random.choice(frames.QUESTIONS[kind])
                return Question(kind, subject, frame.format(x=subject, **fillers(self._random)), answer)
        return None

    def _surplus(self, kind: str, core: Core) -> float:
        """By how much this answer has been given more often to this subject than an even share."""
        subject, answer = core
        return self._answered[kind, subject, answer] - self._subjects[kind, subject] / len(ANSWERS[kind])

    def _cores(self, kind: str, things: list[Thing]) -> list[Core]:
        if kind == "exist":
            return self._exist(things)
        if kind == "count":
            return self._count(things)
        return list(_CORES[kind](things, self._pairs))

    def _exist(self, things: list[Thing]) -> list[Core]:
        present = {thing.pair for thing in things}
        if self._random.random() < 0.5:  # yes or no is decided before looking at the image
            return [(pair_name(*pair), "yes") for pair in sorted(present & self._pairs)]
        mixed = sorted(({(a.color, b.shape) for a in things for b in things} - present) & self._pairs)
        if mixed and self._random.random() < 0.6:  # colour and shape are both there, on different objects
            return [(pair_name(*pair), "no") for pair in mixed]
        absent = [pair for pair in self._random.sample(self._absentees, 8) if pair not in present]
        return [(pair_name(*pair), "no") for pair in absent]

    def _count(self, things: list[Thing]) -> list[Core]:
        pairs = Counter(thing.pair for thing in things)
        for pair in self._random.sample(self._absentees, 2):
            pairs.setdefault(pair, 0)
        tallies = [(f"{COLORS[c]} {PLURALS[s]}", n) for (c, s), n in sorted(pairs.items()) if (c, s) in self._pairs]
        if not self._everything(things):
            return [(name, str(n)) for name, n in tallies if n <= MAX_COUNT]
        shapes = Counter(thing.shape for thing in things)
        colors = Counter(thing.color for thing in things)
        tallies += [(plural, shapes[i]) for i, plural in enumerate(PLURALS)]
        tallies += [(f"{color} things", colors[i]) for i, color in enumerate(COLORS)]
        return [(name, str(n)) for name, n in tallies if n <= MAX_COUNT]

    def _everything(self, things: list[Thing]) -> bool:
        """Whether all objects are of these pairs: else "how many stars" is not about these pairs alone."""
        return all(thing.pair in self._pairs for thing in things)


def _color(things: list[Thing], pairs: Collection[Pair]) -> Iterator[Core]:
    for thing in things:
        if thing.pair in pairs:
            alike = [other for other in things if other.shape == thing.shape]
            if len(alike) == 1:
                yield SHAPES[thing.shape], COLORS[thing.color]
            elif sum(other.size == thing.size for other in alike) == 1:
                yield f"{SIZES[thing.size]} {SHAPES[thing.shape]}", COLORS[thing.color]


def _shape(things: list[Thing], pairs: Collection[Pair]) -> Iterator[Core]:
    for thing in things:
        if thing.pair in pairs:
            alike = [other for other in things if other.color == thing.color]
            if len(alike) == 1:
                yield COLORS[thing.color], SHAPES[thing.shape]
            elif sum(other.size == thing.size for other in alike) == 1:
                yield f"{SIZES[thing.size]} {COLORS[thing.color]}", SHAPES[thing.shape]


def _single(things: list[Thing], pairs: Collection[Pair]) -> Iterator[Thing]:
    """The objects whose colour and shape together occur once."""
    tally = Counter(thing.pair for thing in things)
    return (thing for thing in things if tally[thing.pair] == 1 and thing.pair in pairs)


def _size(things: list[Thing], pairs: Collection[Pair]) -> Iterator[Core]:
    return ((pair_name(*thing.pair), SIZES[thing.size]) for thing in _single(things, pairs))


def _row(things: list[Thing], pairs: Collection[Pair]) -> Iterator[Core]:
    return ((pair_name(*thing.pair), ROWS[thing.row]) for thing in _single(things, pairs))


def _neighbors(things: list[Thing], pairs: Collection[Pair]) -> Iterator[tuple[str, Thing]]:
    """``above the star`` and the object there, for every star that is the only one."""
    tally = Counter(thing.shape for thing in things)
    for anchor in things:
        if tally[anchor.shape] == 1:
            for other in things:
                where = direction(other, anchor)
                if where and other.pair in pairs:
                    yield f"{where} the {SHAPES[anchor.shape]}", other


def _next_to_color(things: list[Thing], pairs: Collection[Pair]) -> Iterator[Core]:
    return ((where, COLORS[thing.color]) for where, thing in _neighbors(things, pairs))


def _next_to_shape(things: list[Thing], pairs: Collection[Pair]) -> Iterator[Core]:
    return ((where, SHAPES[thing.shape]) for where, thing in _neighbors(things, pairs))


_CORES: dict[str, Callable[[list[Thing], Collection[Pair]], Iterator[Core]]] = {
    "color": _color,
    "shape": _shape,
    "size": _size,
    "row": _row,
    "next to, color": _next_to_color,
    "next to, shape": _next_to_shape,
}


def annotate(question: Question, random: Random) -> list[dict[str, Any]]:
    """Ten annotators' answers as VQA v2 records; at most three are wrong, so the truth is always the majority."""
    wrong = bisect.bisect((0.6, 0.84, 0.95), random.random())
    erring = random.sample(range(10), wrong)
    others = [answer for answer in ANSWERS[question.kind] if answer != question.answer]
    records = []
    for i in range(10):
        answer = random.choice(others) if i in erring else question.answer
        if question.kind == "count" and random.random() < 0.04:
            answer = NUMBERS[int(answer)]  # the official evaluator reads both ways of writing a number
        surest = bisect.bisect((0.2, 0.8) if i in erring else (0.0, 0.15), random.random())
        records.append({"answer": answer, "answer_confidence": ("no", "maybe", "yes")[surest], "answer_id": i + 1})
    return records
