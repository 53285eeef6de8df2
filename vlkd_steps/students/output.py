"""What every student hands to an objective, whatever its architecture."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class StudentOutput:
    """Activations of one batch. B items, T text tokens, P image patches, H hidden width, C classes.

    Attributes:
        logits: [B, C], one score per answer class.
        cls: [B, H], the first text token after the last layer, before the pooler.
        pooled: [B, H], `cls` after the pooler (dense + tanh).
        visual: [B, P, H], the image's patches after the last layer, row by row, in the same order at every call.
        text: [B, T, H], the text tokens after the last layer ([CLS] and padding included).
        embedded_text: [B, T, H], the text tokens as they enter the first layer.
    """

    logits: Tensor
    cls: Tensor
    pooled: Tensor
    visual: Tensor
    text: Tensor
    embedded_text: Tensor
