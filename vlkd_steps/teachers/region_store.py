"""The store of regions: what a detector, or somebody's boxes, found in a data set's pictures.

It is a `FeatureStore` with three kinds of rows, picture after picture: ``region`` features [D], ``location`` seven
float32 (x1, y1, x2, y2, width, height, width * height, all relative to the picture) and ``count``, how many regions
each picture has. The index names the pictures (kind ``image``). Rows are read through memory maps.
"""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np

from vlkd_steps.errors import UserError
from vlkd_steps.teachers.store import FeatureStore

LOCATION = 7


class RegionStore(FeatureStore):
    """A finished store of regions."""

    @classmethod
    def open(cls, folder: Path, key: str | None = None) -> Self:
        """Open the store in `folder`; see `FeatureStore.open`.

        Raises:
            UserError: as there, or the store holds a teacher's features instead of regions.
        """
        store = super().open(folder, key)
        if not any(shard.kind == "region" for shard in store.shards):
            raise UserError(
                f"the features in {folder} hold no regions; set the student's `regions` to an extractor of regions, "
                "such as boxes_scenes or butd_coco (docs/students.md)"
            )
        return store

    def counts(self, image_ids: Sequence[str]) -> np.ndarray:
        """How many regions each picture has, int64 [N]."""
        places = self._pictures(image_ids)
        return self._starts[places + 1] - self._starts[places]

    def regions(self, image_ids: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """All regions of the pictures, one picture after the other: features [S, D] and locations [S, 7], float32."""
        places = self._pictures(image_ids)
        spans = [np.arange(self._starts[place], self._starts[place + 1]) for place in places]
        rows = np.concatenate([np.zeros(0, np.int64), *spans])
        if not len(rows):
            return np.zeros((0, self.dim), np.float32), np.zeros((0, LOCATION), np.float32)
        return np.asarray(self._tables["region"][rows], np.float32), self._tables["location"][rows]

    def _pictures(self, image_ids: Sequence[str]) -> np.ndarray:
        return np.array([self._find("image", name) for name in image_ids], dtype=np.int64)

    @cached_property
    def _starts(self) -> np.ndarray:
        """Where each picture's regions start, int64 [pictures + 1]."""
        return self._state_rows
