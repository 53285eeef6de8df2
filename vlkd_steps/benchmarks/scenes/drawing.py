"""Scenes as pixels: sprites drawn once, then whole batches composed by array arithmetic.

Four styles, each with grounds on which all eight colours are visible: `sticker` (filled with a white rim,
dark ground), `noisy` (filled, on a grainy ground), `flat` (filled, on a plain light ground, like the
images of PyPI easy-vqa), `outline` (contours only). The covered cell is striped in purple, a colour
that no object has.
"""

import functools
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from vlkd_steps.benchmarks.scenes.world import CELLS, EMPTY, SHAPES, SIDE, SIZES, STYLES, VARIANTS, Scenes

CELL = 16
WIDTH = SIDE * CELL
_FINE = 4  # sub-pixels per pixel and axis while a sprite is drawn

PAINT = np.array(
    [
        (240, 15, 15),
        (10, 225, 20),
        (20, 30, 245),
        (250, 240, 10),
        (0, 135, 135),
        (152, 58, 30),
        (8, 8, 8),
        (128, 128, 128),
    ],
    np.float32,
)  # red, green, blue, yellow, teal, brown, black, gray as in world.COLORS
_RIM = 238.0
_STRIPES = np.array([(150, 40, 190), (245, 205, 250)], np.float32)


@dataclass(frozen=True)
class Sprites:
    """Coverage 0..1 of one cell, for each shape, size and variant; the last entry is the empty cell.

    Shapes: fill, rim (what the rim adds around the fill), ring (contour) float32 [S, 16, 16];
    corners: the outline in pixels, from the cell's upper left corner, a list of [K, 2] arrays.
    """

    fill: np.ndarray
    rim: np.ndarray
    ring: np.ndarray
    corners: list[np.ndarray]


@functools.cache
def sprites() -> Sprites:
    """Draw all sprites (about half a second, once per process)."""
    generator = np.random.default_rng(2022)
    fill, rim, ring, corners = [], [], [], []
    for shape in SHAPES:
        for size in SIZES:
            for _ in range(VARIANTS):
                low, high, reach = (3.3, 4.0, 2.8) if size == "small" else (5.7, 6.6, 0.5)
                points = polygon(shape, generator.uniform(low, high), generator)
                points = points + CELL / 2 + generator.uniform(-reach, reach, 2)
                solid = _inside(points, CELL)
                outside = ndimage.distance_transform_edt(~solid) / _FINE
                depth = ndimage.distance_transform_edt(solid) / _FINE
                thickness = 1.3 if size == "small" else 1.7
                fill.append(_coverage(solid))
                rim.append(_coverage(outside <= 0.9))
                ring.append(_coverage(solid & (depth <= thickness)))
                corners.append(points)
    blank = np.zeros((CELL, CELL), np.float32)
    return Sprites(np.stack([*fill, blank]), np.stack([*rim, blank]), np.stack([*ring, blank]), corners)


def polygon(shape: str, radius: float, generator: np.random.Generator) -> np.ndarray:
    """The outline [K, 2] (x, y in pixels, y downwards) of a shape around the origin, slightly varied."""
    tilt = generator.uniform(-0.16, 0.16)
    stretch = generator.uniform(-0.3, 0.3)
    if shape == "circle":
        points = _spokes(np.full(28, 0.95))
    elif shape == "triangle":
        points = np.array([(0, -1.0), (1.0, 0.8), (-1.0, 0.8)])
    elif shape == "rectangle":
        points = (
            np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * 0.84 * np.array([1 + min(stretch, 0), 1 - max(stretch, 0)])
        )
    elif shape == "star":
        points = _spokes(np.tile((1.12, 0.45), 5))
    elif shape == "cross":
        a, b = 0.34, 1.0
        points = np.array(
            [(-a, -b), (a, -b), (a, -a), (b, -a), (b, a), (a, a), (a, b), (-a, b), (-a, a), (-b, a), (-b, -a), (-a, -a)]
        )
    else:  # a diamond is taller than wide, so that it differs from a tilted square
        points = np.array([(0, -1.12), (0.74, 0), (0, 1.12), (-0.74, 0)])
    cosine, sine = np.cos(tilt), np.sin(tilt)
    return radius * points @ np.array([(cosine, sine), (-sine, cosine)])


def _spokes(lengths: np.ndarray) -> np.ndarray:
    angles = 2 * np.pi * np.arange(len(lengths)) / len(lengths) - np.pi / 2
    return np.stack([np.cos(angles), np.sin(angles)], axis=1) * lengths[:, None]


def _inside(points: np.ndarray, width: int) -> np.ndarray:
    """Which of the (width * _FINE)^2 sub-pixels are inside a polygon (even-odd rule)."""
    axis = (np.arange(width * _FINE) + 0.5) / _FINE
    x, y = axis[None, :, None], axis[:, None, None]
    (x1, y1), (x2, y2) = points.T, np.roll(points, -1, axis=0).T
    crosses = (y1 > y) != (y2 > y)
    with np.errstate(divide="ignore", invalid="ignore"):  # level edges are never crossed
        left = x < (x2 - x1) * (y - y1) / (y2 - y1) + x1
    return (crosses & left).sum(axis=2) % 2 == 1


def _coverage(mask: np.ndarray) -> np.ndarray:
    width = len(mask) // _FINE
    return mask.reshape(width, _FINE, width, _FINE).mean(axis=(1, 3), dtype=np.float32)


def sprite_index(scenes: Scenes) -> np.ndarray:
    """Which sprite fills each cell, int64 [N, 9]."""
    index = (scenes.shape * len(SIZES) + scenes.size) * VARIANTS + scenes.variant
    return np.where(scenes.color == EMPTY, len(SHAPES) * len(SIZES) * VARIANTS, index)


def draw(scenes: Scenes, generator: np.random.Generator) -> np.ndarray:
    """Draw scenes, uint8 RGB [N, 48, 48, 3]; `generator` chooses tints, grain and stripes."""
    images = np.empty((len(scenes), WIDTH, WIDTH, 3), np.uint8)
    index = sprite_index(scenes)
    for number, style in enumerate(STYLES):
        (chosen,) = np.nonzero(scenes.style == number)
        if len(chosen):
            images[chosen] = _draw_style(style, scenes.color[chosen], index[chosen], scenes.cover[chosen], generator)
    return images


def _draw_style(
    style: str, color: np.ndarray, index: np.ndarray, cover: np.ndarray, generator: np.random.Generator
) -> np.ndarray:
    n = len(cover)
    table = sprites()
    image = ground(style, n, generator)
    if style == "sticker":
        rim = _tiles(table.rim[index])[..., None]
        image += (_RIM - image) * rim
    mask = _tiles((table.ring if style == "outline" else table.fill)[index])[..., None]
    paint = tint(PAINT[color], generator)
    paint = np.broadcast_to(paint[:, :, None, None, :], (n, CELLS, CELL, CELL, 3))
    paint = paint.reshape(n, SIDE, SIDE, CELL, CELL, 3).transpose(0, 1, 3, 2, 4, 5).reshape(n, WIDTH, WIDTH, 3)
    image += (paint - image) * mask
    cells = image.reshape(n, SIDE, CELL, SIDE, CELL, 3)
    cells[np.arange(n), cover // SIDE, :, cover % SIDE] = _covers(n, generator)
    if style == "noisy":
        image += generator.integers(-14, 15, (n, WIDTH, WIDTH, 1), np.int8)
    return image.clip(0, 255).astype(np.uint8)


def ground(style: str, n: int, generator: np.random.Generator, width: int = WIDTH) -> np.ndarray:
    """The bare grounds of a style, float32 [n, width, width, 3]."""
    low, high = {"sticker": (25, 75), "noisy": (190, 236), "flat": (222, 256), "outline": (185, 225)}[style]
    base = generator.integers(low, high, (n, 1, 1, 3)).astype(np.float32)
    image = np.broadcast_to(base, (n, width, width, 3)).copy()
    if style == "noisy":
        patches = generator.integers(-20, 21, (n, width // 4, width // 4, 1)).astype(np.float32)
        image += patches.repeat(4, axis=1).repeat(4, axis=2)
    return image


def tint(paint: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Vary colours [..., 3] a little: each stays nearest to its own name."""
    light = generator.integers(-14, 15, (*paint.shape[:-1], 1))
    hue = generator.integers(-7, 8, paint.shape)
    return np.asarray(paint + light + hue, np.float32).clip(0, 255)


def _tiles(cells: np.ndarray) -> np.ndarray:
    """[N, 9, 16, 16] -> [N, 48, 48]."""
    return cells.reshape(-1, SIDE, SIDE, CELL, CELL).transpose(0, 1, 3, 2, 4).reshape(-1, WIDTH, WIDTH)


def _covers(n: int, generator: np.random.Generator) -> np.ndarray:
    """Striped covers, float32 [n, 16, 16, 3]."""
    diagonal = np.arange(CELL)[:, None] + np.arange(CELL)[None, :]
    phase = generator.integers(6, size=(n, 1, 1))
    return _STRIPES[((diagonal + phase) // 3) % 2]


def free_flat(n: int, color: np.ndarray, shape: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """One flat shape of any size anywhere on a light ground: the images of PyPI easy-vqa, 48 px wide.

    No cell is covered. The sprites are scaled, so these images need a loop: about 20,000 a second.

    Args:
        n: how many.
        color, shape: indices [n].
        generator: the source of randomness.

    Returns:
        uint8 RGB [n, 48, 48, 3].
    """
    image = ground("flat", n, generator)
    paint = tint(PAINT[color], generator)
    masks = _free_masks()
    variants = len(masks) // len(SHAPES)
    chosen = shape * variants + generator.integers(variants, size=n)
    offsets = generator.random((n, 2))
    for i, (kind, (u, v)) in enumerate(zip(chosen.tolist(), offsets.tolist(), strict=True)):
        mask = masks[kind]
        height, width = mask.shape[:2]
        y, x = int(u * (WIDTH - height + 1)), int(v * (WIDTH - width + 1))
        part = image[i, y : y + height, x : x + width]
        part += (paint[i] - part) * mask
    return image.clip(0, 255).astype(np.uint8)


@functools.cache
def _free_masks() -> list[np.ndarray]:
    """Cropped coverage masks [h, w, 1] of each shape at many sizes, shape after shape."""
    generator = np.random.default_rng(2023)
    masks = []
    for shape in SHAPES:
        for radius in np.linspace(2.6, 13.5, 40):
            points = polygon(shape, float(radius), generator)
            if shape == "rectangle":  # easy-vqa's rectangles are wider and narrower than ours
                points = points * generator.uniform(0.6, 1.0, 2)
            points = points - points.min(axis=0) + generator.uniform(0, 1, 2)
            mask = _coverage(_inside(points, int(np.ceil(points.max())) + 1))
            rows, columns = np.nonzero(mask.any(axis=1))[0], np.nonzero(mask.any(axis=0))[0]
            masks.append(mask[: rows[-1] + 1, : columns[-1] + 1, None])
    return masks
