"""The teacher's training data: an endless stream of captioned scenes of all styles and all pairs, never repeating."""

from collections.abc import Iterator
from random import Random

import numpy as np

from vlkd_steps.benchmarks.scenes import captions, drawing, world
from vlkd_steps.core.seeds import derive

_COUNTS = (0.35, 0.2, 0.2, 0.15, 0.1)  # of 1..5 objects: a single one is named most clearly
_FREE = 8  # one image in eight is a flat shape of any size anywhere, without a cover

Batch = tuple[np.ndarray, list[str]]


def batches(seed: int, batch_size: int, start: int = 0) -> Iterator[Batch]:
    """Yield batches without end.

    Batch number i depends on `seed`, `batch_size` and i alone, so that a training resumed at step i goes
    on with ``start=i`` as if uninterrupted.

    Yields:
        images: uint8 RGB [batch_size, 48, 48, 3].
        texts: one true caption an image.
    """
    number = start
    while True:
        yield batch(derive(seed, "scenes stream", number), batch_size)
        number += 1


def batch(seed: int, size: int) -> Batch:
    """One batch of the stream: its images and captions (as `batches` yields them)."""
    generator, random = np.random.default_rng(seed), Random(seed)
    free = size // _FREE
    scenes = world.sample(size - free, generator, pairs=world.PAIRS, counts=_COUNTS)
    images = drawing.draw(scenes, generator)
    covers = scenes.cover.tolist()
    texts = [captions.caption(things, cover, random) for things, cover in zip(scenes.things(), covers, strict=True)]
    pairs = np.array(world.PAIRS)[generator.integers(len(world.PAIRS), size=free)]
    flat = drawing.free_flat(free, pairs[:, 0], pairs[:, 1], generator)
    texts += [_free_caption(color, shape, random) for color, shape in pairs.tolist()]
    return np.concatenate([images, flat]), texts


def _free_caption(color: int, shape: int, random: Random) -> str:
    """Like any caption of one object, but without size and row, which free images do not have."""
    name, kind = world.COLORS[color], world.SHAPES[shape]
    body = random.choice((f"a {name} {kind}",) * 5 + (f"a {name} shape", f"something {name}", f"a {kind}"))
    return random.choice(("", "", "", "a picture of ", "there is ", "the image shows ")) + body
