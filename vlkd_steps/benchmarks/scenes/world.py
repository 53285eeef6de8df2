"""What is in a scene: coloured shapes in a 3 x 3 grid, and one covered cell.

A batch of scenes is a struct of arrays, so that a million of them can be sampled and drawn without a
Python loop. Everything here is our own choice; the papers used photographs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

COLORS = ("red", "green", "blue", "yellow", "teal", "brown", "black", "gray")
SHAPES = ("circle", "triangle", "rectangle", "star", "cross", "diamond")
SIZES = ("small", "large")
ROWS = ("top", "middle", "bottom")
STYLES = ("sticker", "noisy", "flat", "outline")

SIDE = 3
CELLS = SIDE * SIDE
EMPTY = -1
MAX_OBJECTS = 5
VARIANTS = 48  # drawings of each shape and size: position in the cell, scale, proportions, tilt

Pair = tuple[int, int]
"""A colour index and a shape index."""

PAIRS: tuple[Pair, ...] = tuple((color, shape) for color in range(len(COLORS)) for shape in range(len(SHAPES)))
HELD_OUT: tuple[Pair, ...] = tuple(pair for pair in PAIRS if sum(pair) % 3 == 2)
"""The third of the pairs that no labelled training image shows: two shapes of every colour."""
SEEN: tuple[Pair, ...] = tuple(pair for pair in PAIRS if pair not in HELD_OUT)


class Thing(NamedTuple):
    """One visible object: indices into COLORS, SHAPES, SIZES, and its cell 0..8, row by row."""

    color: int
    shape: int
    size: int
    cell: int

    @property
    def pair(self) -> Pair:
        return self.color, self.shape

    @property
    def row(self) -> int:
        return self.cell // SIDE

    @property
    def column(self) -> int:
        return self.cell % SIDE


@dataclass(frozen=True)
class Scenes:
    """N scenes. `color` is EMPTY (-1) where a cell is empty; the covered cell is always empty.

    Shapes: color, shape, size, variant int64 [N, 9]; cover (a cell), style int64 [N].
    """

    color: np.ndarray
    shape: np.ndarray
    size: np.ndarray
    variant: np.ndarray
    cover: np.ndarray
    style: np.ndarray

    def __len__(self) -> int:
        return len(self.cover)

    def things(self) -> list[list[Thing]]:
        """The visible objects of every scene, ordered by cell."""
        table = zip(self.color.tolist(), self.shape.tolist(), self.size.tolist(), strict=True)
        return [
            [Thing(c, s, z, cell) for cell, (c, s, z) in enumerate(zip(*rows, strict=True)) if c != EMPTY]
            for rows in table
        ]


def sample(
    n: int,
    generator: np.random.Generator,
    pairs: Sequence[Pair] = SEEN,
    lead: Sequence[Pair] | None = None,
    styles: Sequence[str] = STYLES,
    counts: Sequence[float] = (1, 1, 1, 1, 1),
) -> Scenes:
    """Draw `n` scenes at random.

    Half of the scenes are *clumped*: their objects tend to share the first object's shape, colour or
    both, so that counts above one and look-alike distractors are common. Each pair stays equally likely.

    Args:
        n: how many scenes.
        generator: the only source of randomness.
        pairs: colour-shape pairs the objects are drawn from.
        lead: some of `pairs`, of which every scene shows at least one; default: any.
        styles: names from STYLES, equally likely.
        counts: weights of 1, 2, ... objects in a scene.

    Returns:
        The scenes; objects are in distinct uncovered cells, all equally likely.
    """
    pool = np.array(pairs)
    leaders = pool if lead is None else np.array(lead)
    weights = np.asarray(counts, float)
    number = 1 + generator.choice(len(weights), n, p=weights / weights.sum())
    order = generator.random((n, CELLS)).argsort(axis=1)  # cover first, then the objects' cells

    first = leaders[generator.integers(len(leaders), size=n)]
    others = pool[generator.integers(len(pool), size=(n, CELLS))]
    clump = generator.choice(4, n, p=(0.5, 0.2, 0.2, 0.1))[:, None]  # nothing, shape, colour, both shared
    follows = generator.random((n, CELLS)) < 0.7
    for kind, axis in ((1, 1), (2, 0)):
        alike = _sharing(pool, axis, first[:, axis], generator.random((n, CELLS)))
        others = np.where(((clump == kind) & follows)[..., None], alike, others)
    others = np.where(((clump == 3) & follows)[..., None], first[:, None], others)
    others[:, 0] = first

    rank = order.argsort(axis=1) - 1  # -1 for the cover, 0.. for the objects
    shown = (rank >= 0) & (rank < number[:, None])
    placed = np.take_along_axis(others, np.maximum(rank, 0)[..., None], axis=1)
    return Scenes(
        color=np.where(shown, placed[..., 0], EMPTY),
        shape=np.where(shown, placed[..., 1], EMPTY),
        size=np.where(shown, generator.integers(len(SIZES), size=(n, CELLS)), EMPTY),
        variant=generator.integers(VARIANTS, size=(n, CELLS)),
        cover=order[:, 0],
        style=np.array([STYLES.index(style) for style in styles])[generator.integers(len(styles), size=n)],
    )


def _sharing(pool: np.ndarray, axis: int, value: np.ndarray, chance: np.ndarray) -> np.ndarray:
    """For each scene's `value` of the colour (axis 0) or shape (axis 1): pairs of `pool` that share it.

    `chance` [N, 9] in [0, 1) chooses among them.
    """
    result = np.empty((*chance.shape, 2), pool.dtype)
    for v in np.unique(value):
        matching = pool[pool[:, axis] == v]
        where = value == v
        result[where] = matching[(chance[where] * len(matching)).astype(int)]
    return result
