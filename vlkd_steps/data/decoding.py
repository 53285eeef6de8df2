"""Image files as the pixels that a student sees."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from vlkd_steps.core import image_file
from vlkd_steps.data import loader

SMALL = 128  # pixels; a set of smaller images is decoded faster than processes for it are started
PIECE = 64  # images that a process decodes at a time


def decode_all(paths: Sequence[Path], size: int) -> Tensor:
    """Decode images to uint8 [N, 3, size, size], RGB. Another size or shape is resized to the square (choice)."""
    decoded = np.empty((len(paths), 3, size, size), dtype=np.uint8)
    for row, path in enumerate(paths):
        decoded[row] = decode_one(path, size).transpose(2, 0, 1)
    return torch.from_numpy(decoded)


def decode_ahead(paths: Sequence[Path], size: int) -> Tensor:
    """As `decode_all`, by `loader`'s processes where the images are large enough to be worth starting them."""
    if size < SMALL:
        return decode_all(paths, size)
    pieces = [paths[start : start + PIECE] for start in range(0, len(paths), PIECE)]
    decoded = torch.empty(len(paths), 3, size, size, dtype=torch.uint8)
    for number, piece in enumerate(loader.ahead(lambda number: decode_all(pieces[number], size), range(len(pieces)))):
        decoded[number * PIECE : number * PIECE + len(piece)] = piece
    return decoded


def decode_one(path: Path, size: int) -> np.ndarray:
    """One image as uint8 [size, size, 3].

    Raises:
        UserError: the file is missing or is no image.
    """
    rgb = image_file.read(path, near=size)
    return np.asarray(rgb if rgb.size == (size, size) else rgb.resize((size, size), Image.Resampling.BICUBIC))


def shorter_side(transform: Any) -> int:
    """The pixels to which torchvision's, open_clip's or timm's `transform` resizes an image's shorter side; 0: it does
    not."""
    for step in getattr(transform, "transforms", ()):
        if hasattr(step, "max_size"):  # `Resize`
            sides = [step.size] if isinstance(step.size, int) else list(step.size)
            return sides[0] if len(sides) == 1 and step.max_size is None else 0
        if getattr(step, "longest", 1) == 0:  # `ResizeKeepRatio`
            return int(max(step.size))
    return 0
