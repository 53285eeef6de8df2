"""Labelled statements about images, without the images: what a model without eyes learns from."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Statements:
    """Columns of equal length: ids, the images' ids, the statements and their labels by name."""

    ids: Sequence[str]
    images: Sequence[str]
    texts: Sequence[str]
    labels: Sequence[str]

    def __len__(self) -> int:
        return len(self.ids)
