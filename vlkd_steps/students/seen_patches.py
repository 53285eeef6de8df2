"""Images for a student with a plugged-in teacher: the teacher's patches, as regions on a grid."""

from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor

from vlkd_steps.core import hardware
from vlkd_steps.core.errors import UserError
from vlkd_steps.data.inputs import Regions
from vlkd_steps.data.patches import grid_locations, side_of
from vlkd_steps.teachers.features.store import FeatureStore

IN_MEMORY = 1 << 30
"""Bytes of patches that may be in memory for one set of images; larger sets are read batch by batch."""


class PatchSight:
    """The patches of a list of images.

    Args:
        store: that of a teacher with ``patches: true``.
        image_ids: R of them; `batch` takes their numbers.

    Raises:
        UserError: the store has no patches, or none of these images (``splits: used`` extracts all that are evaluated).

    Attributes:
        counts: int64 [R], how many patches each image has.
    """

    def __init__(self, store: Any, image_ids: Sequence[str], in_memory: int = IN_MEMORY) -> None:
        self.store, self.image_ids = store, list(image_ids)
        first = torch.from_numpy(store.patches(self.image_ids[:1]))
        self.locations = grid_locations(side_of(first.shape[1]))
        self.width: int = first.shape[2]
        self.counts = torch.full((len(self.image_ids),), first.shape[1])
        self.device = torch.device("cpu")
        fits = len(self.image_ids) * first.nbytes <= in_memory
        self.patches = torch.from_numpy(store.patches(self.image_ids)) if fits else None
        self.from_files = not fits

    def to(self, device: torch.device) -> Self:
        """Move tensors in memory to the training device."""
        self.device, self.locations = device, self.locations.to(device)
        if self.patches is not None:
            self.patches = self.patches.to(device)
        return self

    def batch(self, rows: Tensor) -> dict[str, Regions]:
        """``regions`` of the images at `rows`, int64 [B] on the CPU: features [B, P, W], locations, a mask of ones."""
        if self.patches is not None:
            features = self.patches[hardware.moved(rows, self.device)]
        else:
            distinct, positions = rows.unique(return_inverse=True)
            read = self.store.patches([self.image_ids[row] for row in distinct.tolist()])
            features = torch.from_numpy(read)[positions]
        locations = self.locations.expand(len(rows), -1, -1)
        mask = torch.ones(features.shape[:2], dtype=torch.int64, device=self.device)
        return {"regions": Regions(features, locations, mask)}


def plugged_width(store: Any, name: str) -> int:
    """Width W of the store's patches.

    Raises:
        UserError: it is not a single vision teacher with patches.
    """
    if not isinstance(store, FeatureStore):
        raise UserError(f"teacher {name}: a student reads the patches of one teacher; name one vision teacher")
    return store.patch_shape[1]
