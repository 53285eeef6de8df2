"""Boxes of objects in a metadata file such as VCR's: ``boxes`` [[x1, y1, x2, y2, ...], ...] in pixels of the image
whose ``width`` and ``height`` it has.

A box may reach over the image's border, and is cut there by whoever uses it. One that lies outside altogether is an
error, and so are width and height that are swapped.
"""

import math
from pathlib import Path
from typing import Any, NamedTuple

from vlkd_steps.core import records

FORM = "must be five numbers: x1, y1, x2, y2, score"


class Boxes(NamedTuple):
    """Boxes [[x1, y1, x2, y2, ...], ...], and the size that they refer to, where the file has it."""

    boxes: list[list[float]]
    width: int | None
    height: int | None


def read(content: dict[str, Any], path: Path, image: tuple[int, int] | None) -> Boxes:
    """The boxes of a metadata file.

    Args:
        content: of the file `path`.
        image: width and height of the image itself, where there is one; it may be a smaller copy, but no upright one
            of a flat original.

    Raises:
        UserError: what is described above, with file and box.
    """
    width, height = (_side(content, name, path) for name in ("width", "height"))
    if image and width and height and (width - height) * (image[0] - image[1]) < 0:
        problem = f"are {width} x {height}, but its image is {image[0]} x {image[1]}"
        raise records.complaint(path, "width, height", problem, "correct them, or give the image its own metadata")
    found = records.field(content, "boxes", list, path, "")
    right, bottom = (width, height) if width and height else image or (math.inf, math.inf)
    for number, box in enumerate(found):
        where = f"boxes[{number}]"
        if type(box) is not list or len(box) < 4 or not all(map(_is_number, box)):
            raise records.complaint(path, where, FORM)
        x1, y1, x2, y2 = box[:4]
        if not (x1 < x2 and y1 < y2):
            raise records.complaint(path, where, f"{box[:4]} is empty: x1 < x2 and y1 < y2 are needed")
        if not (x1 < right and y1 < bottom and x2 > 0 and y2 > 0):
            problem = f"{box[:4]} lies outside the image of {right} x {bottom} pixels"
            raise records.complaint(path, where, problem, "correct it, or width and height")
    return Boxes(found, width, height)


def _side(content: dict[str, Any], name: str, path: Path) -> int | None:
    if content.get(name) is None:
        return None
    side: int = records.field(content, name, int, path, "")
    if side < 1:
        raise records.complaint(path, name, f"is {side}, but an image has at least one pixel", "correct it")
    return side


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < 1e9
