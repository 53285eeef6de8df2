"""The text tower of an open_clip model, run on as many positions as a batch of texts needs.

open_clip fills every text up to the context length: 77 positions, where a question in its template has 14. A causal
tower never reads positions after a text's end, and a tower that masks padding never reads padding; so these positions
can be left out, and the features equal open_clip's except for the last bits.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from vlkd_steps.core.errors import UserError


class TextTower:
    """Token ids -> pooled features and states.

    Args:
        model: an open_clip model.
        tokenizer: its tokenizer, whose padding may be cut off.
    """

    def __init__(self, model: Any, tokenizer: Any = None) -> None:
        self.model = model
        self.tower = getattr(model, "text", model)
        if getattr(self.tower, "cls_emb", None) is not None:
            raise UserError(
                "text towers with an appended class token (CoCa) have no word states; choose another teacher"
            )
        self.last_layer: nn.Module = self.tower.ln_final if hasattr(self.tower, "ln_final") else self.tower.transformer
        self.causal = getattr(self.tower, "attn_mask", None) is not None
        self.pooled_at = getattr(self.tower, "pool_type", getattr(self.tower, "text_pool_type", ""))
        self.padding = self._padding(tokenizer)

    def _padding(self, tokenizer: Any) -> int | None:
        """The padding token, whose positions after a text are not read; None: the tower reads all positions."""
        if hasattr(self.tower, "pooler"):  # a transformers model, which masks padding
            return int(self.tower.config.pad_token_id)
        if self.causal and self.pooled_at in ("first", "argmax", "eos"):
            return int(getattr(getattr(tokenizer, "tokenizer", None), "pad_token_id", None) or 0)
        return None

    def lengths(self, tokens: Tensor) -> Tensor:
        """The number of positions that each text needs, int64 [B], from token ids [B, L]."""
        if self.padding is None:
            return torch.full((len(tokens),), tokens.shape[1])
        needed = (tokens != self.padding) * torch.arange(1, tokens.shape[1] + 1)
        lengths = needed.amax(1).clamp(min=1)
        if self.pooled_at == "argmax":
            return lengths.maximum(tokens.argmax(1) + 1)
        if self.pooled_at == "eos":  # may be the padding token
            end: Any = getattr(self.tower, "eos_id", getattr(self.tower, "text_eos_id", None))
            return lengths.maximum(torch.eq(tokens, end).int().argmax(1) + 1)
        return lengths

    def encode(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Token ids [B, L] on the CPU -> pooled features [B, D] and the last layer's states [B, up to L, H]."""
        return self.of(tokens[:, : int(self.lengths(tokens).max())])

    def of(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """As `encode`, on all given positions."""
        captured: list[Any] = []
        hook = self.last_layer.register_forward_hook(lambda _m, _i, output: captured.append(output))
        try:
            with self._cut(tokens.shape[1]):
                pooled = self.model.encode_text(tokens.to(self.last_layer_device))
        finally:
            hook.remove()
        return pooled, getattr(captured[0], "last_hidden_state", captured[0])

    @property
    def last_layer_device(self) -> torch.device:
        return next(self.last_layer.parameters()).device

    @contextlib.contextmanager
    def _cut(self, length: int) -> Iterator[None]:
        """A causal tower with its positions and mask cut to `length`; open_clip adds all of them to any input."""
        if not self.causal:
            yield
            return
        positions, mask = self.tower.positional_embedding, self.tower.attn_mask
        self.tower.positional_embedding = nn.Parameter(positions[:length], requires_grad=False)
        self.tower.attn_mask = mask[:length, :length]
        try:
            yield
        finally:
            self.tower.positional_embedding, self.tower.attn_mask = positions, mask
