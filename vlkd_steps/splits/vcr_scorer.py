"""A linear bag-of-words scorer for AdvTop-1 and KeepTop-k, independent of every model that is compared.

A choice's score is a sum over its tokens. A token counts by itself, with each word of the query (the question; for a
rationale, with the right answer) and with what the mentioned objects look like: the position of their boxes and the
colour of their centres. Nothing is pre-trained, and no student is like it. It learns from training annotations
which of two choices is the right one, by logistic regression on their difference, answers and rationales apart.

Because the score is a sum, masking a token takes its part away; what that does to the cross-entropy over the four
choices is the token's loss.
"""

import zlib
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from vlkd_steps.core.errors import UserError
from vlkd_steps.core.seeds import position
from vlkd_steps.splits.vcr_masking import Losses, flat

VERSION = 1
"""Of the scorer. Raise it when the same files would give other scores."""

FEATURES = 1 << 18  # tokens and pairs are hashed to so many
MOST = 20_000  # training annotations; more of them change which token matters most in few items: choice
QUERY_WORDS = 24  # of the longest queries: choice
SCALE = 4  # number of steps for colours and positions

Token = str | list[int]
Tokens = Sequence[Token]
Array = NDArray[np.float64]


class Item(NamedTuple):
    """An annotation as the scorer sees it: the official record and, for each object, what it looks like."""

    record: dict[str, Any]
    looks: Sequence[str]


class BagScorer:
    """The trained scorer.

    Attributes:
        weights: kind (answer, rationale) -> float64 [FEATURES].
    """

    def __init__(self, weights: dict[str, Array]) -> None:
        self.weights = weights

    @classmethod
    def trained(cls, items: Iterable[Item], where: str) -> Self:
        """Learn from labelled annotations. More than `MOST` take long: give those that come first by `place`.

        Args:
            items: in an order that the scorer does not depend on, but for the last bits.
            where: names the file in messages.

        Raises:
            UserError: the file has no labels, or too few annotations to learn from.
        """
        from scipy.sparse import csr_matrix
        from sklearn.linear_model import LogisticRegression

        chosen = list(items)
        if len(chosen) < 8 or "answer_label" not in chosen[0].record:
            raise UserError(f"{where}: the scorer needs labelled training annotations, eight at least; name others")
        weights = {}
        for kind in ("answer", "rationale"):
            columns: list[int] = []
            signs: list[float] = []
            ends: list[int] = [0]
            labels: list[int] = []
            for item in chosen:
                gold = item.record[f"{kind}_label"]
                of_choices = [
                    [part for token in _parts(item, kind, choice) for part in token]
                    for choice in item.record[f"{kind}_choices"]
                ]
                for number, wrong in enumerate(of_choices):
                    if number != gold:
                        label = len(labels) % 2  # half of the differences are turned round: two classes, no bias
                        sign = 1.0 if label else -1.0
                        columns += of_choices[gold] + wrong
                        signs += [sign] * len(of_choices[gold]) + [-sign] * len(wrong)
                        ends.append(len(columns))
                        labels.append(label)
            table = csr_matrix((signs, columns, ends), shape=(len(labels), FEATURES))
            table.sum_duplicates()
            table.eliminate_zeros()  # what all choices have says nothing, and stays out of every score
            model = LogisticRegression(C=0.1, solver="liblinear", fit_intercept=False).fit(table, labels)
            weights[kind] = np.asarray(model.coef_[0])
        return cls(weights)

    def parts(self, item: Item, kind: str) -> list[Array]:
        """What each token adds to the score of its choice: four arrays, a number per token (an object is a token)."""
        return [
            np.array([self.weights[kind][token].sum() for token in _parts(item, kind, choice)])
            for choice in item.record[f"{kind}_choices"]
        ]

    def losses(self, item: Item) -> Losses:
        """``answer`` and ``rationale``: for each token of each choice the cross-entropy when it is masked.

        Raises:
            UserError: an annotation without labels.
        """
        if "answer_label" not in item.record:
            raise UserError(f"{item.record['annot_id']} has no labels, so no token of it can be scored; name others")
        found: Losses = {}
        for kind in ("answer", "rationale"):
            parts, gold = self.parts(item, kind), item.record[f"{kind}_label"]
            scores = np.array([part.sum() for part in parts])
            found[kind] = []
            for number, part in enumerate(parts):
                masked = np.repeat(scores[None], len(part), axis=0)
                masked[:, number] -= part
                highest = masked.max(axis=1)
                entropy = highest + np.log(np.exp(masked - highest[:, None]).sum(axis=1)) - masked[:, gold]
                found[kind].append([round(float(loss), 6) for loss in entropy])
        return found

    def accuracy(self, items: Sequence[Item], kind: str) -> float:
        """Per cent of items whose right choice has the highest score."""
        right = sum(
            int(np.argmax([part.sum() for part in self.parts(item, kind)])) == item.record[f"{kind}_label"]
            for item in items
        )
        return 100 * right / len(items)


def place(record: dict[str, Any]) -> float:
    """The position of an annotation in the order by hash."""
    return position(record["annot_id"], "vcr_scorer")


def _parts(item: Item, kind: str, choice: Tokens) -> list[list[int]]:
    """The features of each token of a choice."""
    record = item.record
    query = list(flat(record["question"]))
    if kind == "rationale":
        query += flat(record["answer_choices"][record["answer_label"]])
    spoken_of = {token for token in [*query, *flat(choice)] if isinstance(token, int)}
    looks = sorted({item.looks[tag] for tag in spoken_of if item.looks})
    query_words = sorted({token.lower() for token in query if isinstance(token, str)})[:QUERY_WORDS]
    context = [*(f"q:{word}" for word in query_words), *(f"o:{look}" for look in looks)]
    found = []
    for token in flat(choice):
        if isinstance(token, str):
            names = [f"w:{token.lower()}"]
        else:
            names = [f"t:{'in' if token in query else 'out'}", f"t:{record['objects'][token]}"]
        found.append(
            [_place(name) for name in names] + [_place(f"{name}|{each}") for name in names for each in context]
        )
    return found


@lru_cache(maxsize=1 << 20)
def _place(feature: str) -> int:
    return zlib.crc32(feature.encode()) % FEATURES


def looks(boxes: Sequence[Sequence[float]], image: str, size: tuple[int | None, int | None]) -> list[str]:
    """What each object looks like, in words of a few letters: colour of the middle half of its box, row and column.

    Args:
        boxes: [x1, y1, x2, y2, ...] in pixels of the original.
        image: a path; empty: positions only, no colours.
        size: width and height of the original, if the metadata has them.
    """
    from vlkd_steps.core import image_file

    pixels, width, height = None, size[0], size[1]
    if image:
        content = image_file.read_bytes(Path(image))
        own = image_file.size(content, image)
        width, height = width or own[0], height or own[1]
        pixels = np.asarray(image_file.decode(content, image, near=128))
    width = width or max((int(box[2]) for box in boxes), default=1)
    height = height or max((int(box[3]) for box in boxes), default=1)
    found = []
    for x1, y1, x2, y2, *_ in boxes:
        column, row = _step((x1 + x2) / 2 / width, 3), _step((y1 + y2) / 2 / height, 3)
        colour = ""
        if pixels is not None:
            down, across = pixels.shape[0] / height, pixels.shape[1] / width
            top, bottom = (int(down * (y1 + share * (y2 - y1))) for share in (0.25, 0.75))
            left, right = (int(across * (x1 + share * (x2 - x1))) for share in (0.25, 0.75))
            middle = pixels[top : max(bottom, top + 1), left : max(right, left + 1)].reshape(-1, 3)
            colour = (
                "".join(str(_step(value / 256, SCALE)) for value in np.median(middle, axis=0)) if len(middle) else ""
            )
        found.append(f"{colour},{row},{column}")
    return found


def _step(share: float, steps: int) -> int:
    return min(steps - 1, max(0, int(steps * share)))
