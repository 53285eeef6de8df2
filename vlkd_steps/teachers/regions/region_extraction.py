"""Extraction of a data set's regions from a source to a region store, by `features.extraction` with `Reading`.

Three kinds of sources are teachers in the graph: `regions_files` (features extracted by others), `regions_boxes`
(boxes from the data, or a grid) and `regions_detector`. Their configurations say ``splits: used``: a student
reads regions at evaluation too.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np
import polars as pl

from vlkd_steps.core import patterns
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.interruption import StopRequest
from vlkd_steps.teachers.features.extraction import Chunk, ImageRef, Plan, distinct_images, hashed, pieces, read
from vlkd_steps.teachers.regions.region_store import LOCATION, RegionStore


class Regions(NamedTuple):
    """An image's regions: float32 features [R, D] and locations [R, 7], R at least 1."""

    features: np.ndarray
    locations: np.ndarray


class Source(Protocol):
    """A source of regions.

    Attributes:
        maker: `Reading`.
        identity: what they depend on besides the images (JSON).
        dim: width D of the features.
    """

    maker: "type[Reading]"
    identity: dict[str, Any]
    dim: int

    def inputs(self, ref: ImageRef) -> str:
        """A hash of everything that the image's regions depend on; called in the processes of `data.loader`."""

    def load(self, ref: ImageRef) -> Any:
        """Read the input for one image's regions; called in the processes of `data.loader`."""

    def regions(self, loaded: Sequence[Any]) -> list[Regions]:
        """The regions of some images."""


@dataclass
class Reading:
    """Makes the rows of chunks from a source."""

    source: Source
    batch_size: int
    stop: StopRequest

    KEY: ClassVar = "regions"
    SHARD: ClassVar = 128  # images: with 100 regions each, 50 MiB of float16
    BATCH: ClassVar = 8
    STORE: ClassVar = RegionStore

    @staticmethod
    def plan(model: Source, instances: pl.DataFrame, shard_size: int) -> Plan:
        images = distinct_images(instances)
        chunks = [Chunk(("region", "location", "count"), some) for some in pieces(images, shard_size)]
        return Plan(images, [], [], chunks)

    def inputs(self, chunk: Chunk) -> str:
        return hashed(chunk.items, self.content, self.stop)

    def content(self, image: ImageRef) -> str:
        return self.source.inputs(image)

    def load(self, images: Sequence[ImageRef]) -> list[Any]:
        return [read(self.source.load, image) for image in images]

    def image_rows(self, chunk: Chunk, loaded: Iterable[Any]) -> dict[str, np.ndarray]:
        """Regions of all images, image after image."""
        made = (regions for batch in loaded for regions in self.source.regions(batch))
        found = [checked(regions, self.source.dim, image) for image, regions in zip(chunk.items, made, strict=True)]
        return {
            "region": np.concatenate([regions.features for regions in found]),
            "location": np.concatenate([regions.locations for regions in found]),
            "count": np.array([[len(regions.features)] for regions in found], dtype=np.int64),
        }

    def text_rows(self, chunk: Chunk) -> dict[str, np.ndarray]:
        raise AssertionError("a plan of regions has only images")


def checked(regions: Regions, dim: int, ref: ImageRef) -> Regions:
    """The regions as float32, checked for the store.

    Raises:
        UserError: their width is not `dim`, there is no region, or a value is not a finite number.
    """
    features, locations = (np.asarray(part, np.float32) for part in regions)
    where = f"the regions of image {ref.image_id!r} ({ref.path})"
    if features.ndim != 2 or not len(features) or features.shape[1] != dim:
        raise UserError(f"{where} have shape {list(features.shape)}, not [at least one, dim: {dim}]")
    if locations.shape != (len(features), LOCATION):
        raise UserError(f"{where} have {len(features)} features and locations of shape {list(locations.shape)}")
    if not (np.isfinite(features).all() and np.isfinite(locations).all()):
        raise UserError(f"{where} have values that are not finite numbers; replace their file")
    return Regions(features, locations)


def locations(boxes: np.ndarray) -> np.ndarray:
    """Relative boxes [R, 4] (x1, y1, x2, y2) -> [R, 7], with width, height and their product (official)."""
    boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
    sides = boxes[:, 2:] - boxes[:, :2]
    return np.concatenate([boxes, sides, sides[:, :1] * sides[:, 1:]], axis=1)


def named(pattern: str, ref: ImageRef, where: str) -> str:
    """A name made from an image's ``{image_id}``, its file's ``{stem}``, its ``{folder}``, and ``{number}``, the digits
    at the stem's end.

    >>> named("coco_{folder}_{number:012d}.npz", ImageRef("7", Path("train2014/COCO_train2014_000000000007.jpg")), "")
    'coco_train2014_000000000007.npz'

    Raises:
        UserError: there is another field, or there are no digits for ``{number}``.
    """
    stem = ref.path.stem
    digits = stem[len(stem.rstrip("0123456789")) :]
    fields: dict[str, Any] = {"image_id": ref.image_id, "stem": stem, "folder": ref.path.parent.name}
    if digits:
        fields["number"] = int(digits)
    try:
        return patterns.fill(pattern, fields)
    except ValueError as error:
        raise UserError(
            f"{where} {pattern!r} cannot name image {ref.image_id!r} ({ref.path}): {error}; its fields are "
            "{image_id}, {stem}, {folder} and, if the file's name ends in digits, {number}"
        ) from error
