"""Regions of known boxes: those of the data (VCR), or the cells of a grid.

A configuration of kind ``regions_boxes`` names

- ``boxes``: ``metadata`` (a JSON file beside each image with ``boxes`` [[x1, y1, x2, y2, ...], ...] in pixels, VCR's
  metadata) or ``grid``;
- ``metadata``: that file's name, relative to the image's folder (`region_extraction.named`); ``grid``: cells a side;
- ``whole_image``: whether one more region, the last, is the whole image (choice); an image without boxes always has
  it;
- ``max_regions``: the number of boxes taken, from the first on (official: 100);
- ``backbone`` and its keys: the source of the features (`region_pooling`).

Boxes keep their order: VCR's tags are their numbers.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image

from vlkd_steps.core import boxes, files, image_file, inside, raw_files
from vlkd_steps.core.errors import UserError
from vlkd_steps.teachers.features.extraction import ImageRef
from vlkd_steps.teachers.regions import region_pooling
from vlkd_steps.teachers.regions.region_extraction import Reading, Regions, locations, named

WHOLE = np.array([[0.0, 0.0, 1.0, 1.0]], np.float32)
MAXIMUM = 100
GRID = 3


class Loaded(NamedTuple):
    """A decoded image with its relative boxes [R, 4]."""

    image: Image.Image
    boxes: np.ndarray


class BoxSource:
    """Regions from known boxes; see `region_extraction.Source`."""

    maker = Reading

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.name, self.boxes = config["name"], config.get("boxes")
        if self.boxes not in ("metadata", "grid"):
            raise UserError(f"extractor {self.name}: boxes is {self.boxes!r}; write metadata or grid")
        if self.boxes == "metadata" and not config.get("metadata"):
            raise UserError(
                f"extractor {self.name} reads boxes from metadata files; give their name, relative to an image's "
                'folder: metadata: "{stem}.json"'
            )
        self.metadata = str(config.get("metadata", ""))
        self.grid = int(config.get("grid", GRID))
        self.whole = bool(config.get("whole_image", False))
        self.maximum = int(config.get("max_regions", MAXIMUM))
        self.backbone = region_pooling.create(config)
        self.dim, self.device = self.backbone.dim, self.backbone.device
        self.identity: dict[str, Any] = {
            "kind": "boxes",
            "boxes": self.metadata if self.boxes == "metadata" else self.grid,
            "whole_image": self.whole,
            "max_regions": self.maximum,
            **self.backbone.identity,
        }

    def inputs(self, ref: ImageRef) -> str:
        found = [raw_files.sha256(ref.path)]
        if self.boxes == "metadata":
            found.append(files.sha256(self._file(ref)))
        return files.digest(found)

    def load(self, ref: ImageRef) -> Loaded:
        """
        Raises:
            UserError: the image cannot be read or is too thin for the backbone, or its metadata are missing or have no
                boxes.
        """
        image = image_file.read(ref.path)
        image_file.check_side(image.size, self.backbone.side, ref.path)
        found = self._metadata(ref, image) if self.boxes == "metadata" else cells(self.grid)
        found = found[: self.maximum]
        if self.whole or not len(found):
            found = np.concatenate([found, WHOLE])
        return Loaded(image, found)

    def regions(self, loaded: Sequence[Loaded]) -> list[Regions]:
        return [Regions(self.backbone.pooled(image, boxes), locations(boxes)) for image, boxes in loaded]

    def _file(self, ref: ImageRef) -> Path:
        where = f"extractor {self.name}: metadata"
        raw = Path(*ref.path.parent.parts[:3])  # data/raw/<source>
        beside = os.path.relpath(ref.path.parent / named(self.metadata, ref, where), raw)
        path = inside.path(raw, beside, where, links=True)
        if not path.is_file():
            raise UserError(
                f"extractor {self.name}: {path}, the boxes of image {ref.image_id!r}, is missing; correct "
                "`metadata`, or take boxes: grid"
            )
        return path

    def _metadata(self, ref: ImageRef, image: Image.Image) -> np.ndarray:
        """The boxes of a metadata file, relative to the image, without their scores."""
        path = self._file(ref)
        content = files.read_json(path, f"correct the file, or extractor {self.name}'s `metadata`")
        found = boxes.read(content, path, image.size)
        size = (found.width or image.width, found.height or image.height)
        rows = np.array([row[:4] for row in found.boxes], np.float32).reshape(-1, 4)
        return (rows / np.array([*size, *size], np.float32)).clip(0, 1)


def cells(side: int) -> np.ndarray:
    """The cells of a grid, row by row: relative boxes [side * side, 4]."""
    y, x = (axis.reshape(-1, 1) / side for axis in np.mgrid[:side, :side].astype(np.float32))
    return np.concatenate([x, y, x + 1 / side, y + 1 / side], axis=1).astype(np.float32)


def load(config: Mapping[str, Any]) -> BoxSource:
    """The source that a configuration of kind ``regions_boxes`` describes."""
    torch.set_num_threads(config.get("threads", 1))
    return BoxSource(config)
