"""The acceptance test of the teacher: colour and shape of single objects, named by the nearest prompt (zero-shot)."""

import numpy as np

from vlkd_steps.benchmarks.scenes import drawing, world
from vlkd_steps.core.seeds import derive

COLOR_PROMPTS = ("a {} shape", "a {} thing", "something {}")
SHAPE_PROMPTS = ("a {}", "a picture of a {}", "there is a {}")
"""Templates; a class's embedding is the normalised mean of its normalised prompts."""


def single_object_images(n: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images of one object each, all styles and all colour-shape pairs, from a generator of their own.

    Returns:
        images: uint8 RGB [n, 48, 48, 3]; colors, shapes: int64 [n], indices into world.COLORS, world.SHAPES.
    """
    generator = np.random.default_rng(derive(seed, "scenes probes"))
    scenes = world.sample(n, generator, pairs=world.PAIRS, counts=(1,))
    shown = scenes.color.argmax(axis=1)[:, None]  # EMPTY is -1, so the object's cell holds the maximum
    colors = np.take_along_axis(scenes.color, shown, axis=1)[:, 0]
    shapes = np.take_along_axis(scenes.shape, shown, axis=1)[:, 0]
    return drawing.draw(scenes, generator), colors, shapes


def color_prompts() -> list[list[str]]:
    """The prompts of each colour, in the order of world.COLORS."""
    return [[template.format(color) for template in COLOR_PROMPTS] for color in world.COLORS]


def shape_prompts() -> list[list[str]]:
    """The prompts of each shape, in the order of world.SHAPES."""
    return [[template.format(shape) for template in SHAPE_PROMPTS] for shape in world.SHAPES]
