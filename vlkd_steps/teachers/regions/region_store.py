"""The store of regions: regions of a data set's images, from a detector or from given boxes.

It is a `FeatureStore` with three kinds of rows, image after image: ``region`` features [D], ``location`` seven
float32 (x1, y1, x2, y2, width, height, width * height, all relative to the image) and ``count``, the number of regions
of each image. The index names the images (kind ``image``). Rows are read through memory maps.
"""

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np

from vlkd_steps.core.errors import UserError
from vlkd_steps.teachers.features.store import FeatureStore

LOCATION = 7


class RegionStore(FeatureStore):
    """A finished store of regions."""

    @classmethod
    def open(cls, folder: Path, key: str | None = None) -> Self:
        """Open the store in `folder`; see `FeatureStore.open`.

        Raises:
            UserError: as there, or the store has a teacher's features instead of regions.
        """
        store = super().open(folder, key)
        if not any(shard.kind == "region" for shard in store.shards):
            raise UserError(
                f"the features in {folder} have no regions; set the student's `regions` to an extractor of regions, "
                "such as boxes_scenes or butd_coco (docs/students.md)"
            )
        return store

    def counts(self, image_ids: Sequence[str]) -> np.ndarray:
        """The number of regions of each image, int64 [N]."""
        rows = self._image_rows(image_ids)
        return self._starts[rows + 1] - self._starts[rows]

    def regions(self, image_ids: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """All regions of the images, image after image: features [S, D] and locations [S, 7], float32."""
        ends = np.cumsum(self.counts(image_ids), dtype=np.int64)
        total = int(ends[-1]) if len(ends) else 0
        features, locations = np.empty((total, self.dim), np.float32), np.empty((total, LOCATION), np.float32)
        start = 0
        for end, (seen, placed) in zip(ends, self._slices(image_ids), strict=True):
            features[start:end], locations[start:end] = seen, placed
            start = end
        return features, locations

    def padded(self, image_ids: Sequence[str], most: int) -> tuple[np.ndarray, np.ndarray]:
        """The regions of N images, padded with zeros to `most`: float32 [N, most, D] and [N, most, 7]."""
        features = np.zeros((len(image_ids), most, self.dim), np.float32)
        locations = np.zeros((len(image_ids), most, LOCATION), np.float32)
        for number, (seen, placed) in enumerate(self._slices(image_ids)):
            features[number, : len(seen)], locations[number, : len(seen)] = seen, placed
        return features, locations

    def _slices(self, image_ids: Sequence[str]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Each image's slices of the memory maps, uncopied: an image is in one shard."""
        regions, locations = self._tables["region"], self._tables["location"]
        for row in self._image_rows(image_ids):
            start, end = self._starts[row : row + 2]
            part = int(np.searchsorted(regions.starts, start, side="right")) - 1
            rows = slice(start - regions.starts[part], end - regions.starts[part])
            yield regions.parts[part].rows[rows], locations.parts[part].rows[rows]

    def _image_rows(self, image_ids: Sequence[str]) -> np.ndarray:
        return np.array([self._find("image", name) for name in image_ids], dtype=np.int64)

    @cached_property
    def _starts(self) -> np.ndarray:
        """The first row of each image's regions, int64 [images + 1]."""
        return self._state_rows
