"""The activations that every student returns to an objective, whatever its architecture."""

from dataclasses import dataclass, replace
from typing import Self

from torch import Tensor


@dataclass(frozen=True)
class StudentOutput:
    """Activations of one batch. B items with N rows (`Inputs`), T text tokens, P patches or regions, H hidden width.

    Attributes:
        logits: [B, C], one score per answer class; or [B, A, 2], two for each of an item's A choices
            (N = B A).
        cls: [N, H], the first text token after the last layer, before the pooler.
        pooled: [N, H], `cls` after the pooler (dense + tanh).
        visual: [N, P, H], the image's patches (row by row) or regions after the last layer, in the same order at every
            call.
        visible: int64 [N, P], 0 where a region is padding; None: no padding.
        text: [N, T, H], the text tokens after the last layer ([CLS] and padding included).
        embedded_text: [N, T, H], the text tokens as they enter the first layer.
    """

    logits: Tensor
    cls: Tensor
    pooled: Tensor
    visual: Tensor
    text: Tensor
    embedded_text: Tensor
    visible: Tensor | None = None

    @property
    def seen(self) -> Tensor:
        """[N, H], the mean of `visual` without padding."""
        if self.visible is None:
            return self.visual.mean(1)
        there = self.visible[:, :, None].to(self.visual.dtype)
        return (self.visual * there).sum(1) / there.sum(1).clamp(min=1)

    def of(self, rows: Tensor) -> Self:
        """The activations of some rows; the logits remain those of all."""
        return replace(
            self,
            cls=self.cls[rows],
            pooled=self.pooled[rows],
            visual=self.visual[rows],
            text=self.text[rows],
            embedded_text=self.embedded_text[rows],
            visible=None if self.visible is None else self.visible[rows],
        )
