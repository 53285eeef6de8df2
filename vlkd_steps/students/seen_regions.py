"""Images as region features for a student, read from a region store: memory-mapped, or in memory if small."""

from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor

from vlkd_steps.core import hardware, layout
from vlkd_steps.core.errors import UserError
from vlkd_steps.data.inputs import Regions
from vlkd_steps.teachers.regions.region_store import LOCATION, RegionStore

IN_MEMORY = 1 << 30  # bytes of regions that may be in memory for one set; larger sets are read batch by batch


class RegionSight:
    """The regions of a split's distinct images, in the order of `image_ids`.

    Attributes:
        counts: int64 [images], how many regions each has; on the CPU, as `batches.Encoded` says.
    """

    def __init__(self, store: RegionStore, image_ids: Sequence[str], in_memory: int = IN_MEMORY) -> None:
        self.store, self.image_ids = store, list(image_ids)
        self.device = torch.device("cpu")
        self.counts = torch.from_numpy(store.counts(self.image_ids))
        self._starts = torch.cat([torch.zeros(1, dtype=torch.int64), self.counts.cumsum(0)])
        self._held: tuple[Tensor, Tensor] | None = None
        self.from_files = int(self._starts[-1]) * (store.dim + LOCATION) * 4 > in_memory
        if not self.from_files:
            features, locations = store.regions(self.image_ids)
            self._held = torch.from_numpy(features), torch.from_numpy(locations)

    @classmethod
    def of(cls, student: Any, dataset: str, image_ids: Sequence[str], in_memory: int = IN_MEMORY) -> Self:
        """The regions of a data set's images for `student`.

        Raises:
            UserError: its regions have not been extracted, or have another width than it reads.
        """
        store = RegionStore.open(layout.features(student.regions, dataset))
        if store.dim != student.region_width:
            raise UserError(
                f"the regions in {store.folder} are {store.dim} wide and the student reads {student.region_width}; "
                "name another extractor in its `regions`, or correct its architecture"
            )
        return cls(store, image_ids, in_memory)

    def to(self, device: torch.device) -> Self:
        """Move tensors in memory to the training device."""
        self.device = device
        if self._held is not None:
            self._held = self._held[0].to(device), self._held[1].to(device)
        return self

    def batch(self, rows: Tensor) -> dict[str, Regions]:
        """The images at `rows`, int64 [N] on the CPU: ``regions``, padded with zeros to the batch's largest number."""
        counts = self.counts[rows]
        numbers = torch.arange(int(counts.max()), device=self.device)
        there = numbers < hardware.moved(counts, self.device)[:, None]
        if self._held is not None:
            starts = hardware.moved(self._starts[rows], self.device)
            flat = (starts[:, None] + numbers).clamp(max=len(self._held[0]) - 1)
            features, locations = (part[flat] * there[:, :, None] for part in self._held)
        else:
            features, locations = self._read(rows, len(numbers))
        return {"regions": Regions(features, locations, there.long())}

    def _read(self, rows: Tensor, most: int) -> tuple[Tensor, Tensor]:
        """Regions from the store; an image that occurs twice in the batch is read once."""
        distinct, positions = rows.unique(return_inverse=True)
        read = self.store.padded([self.image_ids[row] for row in distinct.tolist()], most)
        features, locations = map(torch.from_numpy, read)
        return features[positions], locations[positions]
