"""Image-caption pairs for pre-training: the endless stream of scenes, or the rows of a data set.

Both have ``batches(leg, seed, size, share)``: the pairs of one *leg* of the training, a function of the seed alone.
"""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import open_clip
import polars as pl
import torch
from PIL import Image

from vlkd_steps.core import artifacts, image_file, tables
from vlkd_steps.core.errors import UserError
from vlkd_steps.data import loader
from vlkd_steps.data.decoding import shorter_side

Batch = tuple[torch.Tensor, list[str]]
"""Images as the model takes them, float32 [B, 3, S, S], and one caption for each."""


ALL = slice(None)


class Corpus(Protocol):
    """Image-caption pairs."""

    def batches(self, leg: int, seed: int, size: int, share: slice = ALL) -> Iterator[Batch]:
        """The batches of one leg, without end; of each the rows in `share`, one process's part."""


def open_corpus(config: Mapping[str, Any], transform: Callable[[Image.Image], torch.Tensor]) -> Corpus:
    """The corpus of a recipe.

    Args:
        config: ``stream: scenes`` with ``single_object_legs``, or ``corpus``, a data set's name, with its ``split``.
        transform: image -> float32 [3, S, S], for images from files.

    Raises:
        UserError: neither of them, or a data set that is not prepared or has no such rows.
    """
    if config.get("stream") == "scenes":
        return ScenesStream(config["single_object_legs"])
    if config.get("corpus"):
        return Instances(artifacts.instances(config["corpus"]), config["split"], transform)
    raise UserError("the recipe in `pretrain` names no pairs; write `stream: scenes`, or `corpus` and `split`")


class ScenesStream:
    """Never-repeating scenes of all styles and pairs; the first legs show one object an image, named plainly.

    Without that start the model learns the colours at once but no shapes or rows for thousands of steps
    (rows: still at chance after 4,000); with it, both are named within 250 steps.
    """

    def __init__(self, single_object_legs: int) -> None:
        self.single_object_legs = single_object_legs

    def batches(self, leg: int, seed: int, size: int, share: slice = ALL) -> Iterator[Batch]:
        from vlkd_steps.benchmarks.scenes import stream

        drawn = single_objects(seed, size) if leg < self.single_object_legs else stream.batches(seed, size)
        for images, captions in drawn:
            yield normalised(images[share]), captions[share]


def single_objects(seed: int, size: int) -> Iterator[tuple[np.ndarray, list[str]]]:
    """Images of one object, uint8 [size, 48, 48, 3], and its name: `a red star`, every other time with its row."""
    from vlkd_steps.benchmarks.scenes import captions, drawing, world

    def name(thing: world.Thing) -> str:
        row = f" in the {world.ROWS[thing.row]} row" if words.random() < 0.5 else ""
        return captions.phrase(thing, words) + row

    generator, words = np.random.default_rng(seed), random.Random(seed)
    while True:
        scenes = world.sample(size, generator, pairs=world.PAIRS, counts=(1,))
        images = drawing.draw(scenes, generator)
        yield images, [name(things[0]) for things in scenes.things()]


def normalised(images: np.ndarray) -> torch.Tensor:
    """uint8 RGB [B, S, S, 3] -> float32 [B, 3, S, S] as open_clip's own transform does for images of that size."""
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    mean = torch.tensor(open_clip.OPENAI_DATASET_MEAN)[:, None, None]
    deviation = torch.tensor(open_clip.OPENAI_DATASET_STD)[:, None, None]
    return ((pixels - mean) / deviation).contiguous(memory_format=torch.channels_last)


class Instances:
    """The texts and images of a prepared data set, in a new order every epoch."""

    def __init__(self, path: Path, split: str, transform: Callable[[Image.Image], torch.Tensor]) -> None:
        rows = tables.read(path, columns=["instance_id", "split", "image_path", "text"])
        rows = rows.filter(pl.col("split") == split).sort("instance_id")
        if rows.is_empty():
            raise UserError(
                f"the corpus {path} has no rows of split {split!r}; correct `split` in the teacher's `pretrain`"
            )
        self.paths, self.texts, self.transform = rows["image_path"].to_list(), rows["text"].to_list(), transform

    def batches(self, leg: int, seed: int, size: int, share: slice = ALL) -> Iterator[Batch]:
        generator = np.random.default_rng(seed)
        size = min(size, len(self.texts))
        if size % (share.step or 1):
            raise UserError(
                f"the corpus has only {size} rows, fewer than a batch, and {share.step} processes cannot share them in "
                f"equal parts; lower `batch_size` to a multiple of {share.step}, or set `processes` to 1"
            )
        while True:
            order = generator.permutation(len(self.texts))
            starts = range(0, len(order) - size + 1, size)
            chosen = [order[start : start + size][share].tolist() for start in starts]
            for rows, images in zip(
                chosen, loader.ahead(partial(self._images, chosen), range(len(chosen))), strict=True
            ):
                yield images, [self.texts[row] for row in rows]

    def _images(self, chosen: Sequence[Sequence[int]], number: int) -> torch.Tensor:
        images = torch.stack([self._pixels(self.paths[row]) for row in chosen[number]])
        return images.contiguous(memory_format=torch.channels_last)

    def _pixels(self, path: str) -> torch.Tensor:
        image = image_file.read(Path(path))
        image_file.check_side(image.size, shorter_side(self.transform), path)
        return self.transform(image)
