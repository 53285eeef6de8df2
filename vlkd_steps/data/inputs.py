"""The inputs of a student, whatever its architecture: a text and, as pixels or as regions, an image."""

from dataclasses import dataclass, fields

from torch import Tensor


@dataclass(frozen=True)
class Regions:
    """Images as lists of regions. N rows, R regions at most, D the width of their features.

    Attributes:
        features: float [N, R, D].
        locations: float32 [N, R, 7]: x1, y1, x2, y2, width, height, width * height, all relative to the image.
        mask: int64 [N, R], 1 for regions, 0 for padding.
    """

    features: Tensor
    locations: Tensor
    mask: Tensor


@dataclass(frozen=True)
class Inputs:
    """N rows, each a text and an image: one row per item, or one per choice where an item has choices.

    Attributes:
        tokens, mask, types: int64 [N, T], cut after the longest text. `mask` is 1 for tokens, 0 for padding; `types`
            says which part of the text a token belongs to (0 the question, 2 an answer, 3 a rationale).
        images: uint8 [N, 3, S, S], RGB, for a student that sees pixels.
        regions: for a student that sees regions.
        word_shift: float [N, T, H], added to the word embeddings in adversarial fine-tuning.
    """

    tokens: Tensor
    mask: Tensor
    types: Tensor
    images: Tensor | None = None
    regions: Regions | None = None
    word_shift: Tensor | None = None

    def tensors(self) -> dict[str, Tensor]:
        """All tensors by name."""
        found: dict[str, Tensor] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Regions):
                found |= {f"{field.name}.{name}": tensor for name, tensor in vars(value).items()}
            elif value is not None:
                found[field.name] = value
        return found
