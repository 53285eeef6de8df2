"""torch's fused attention for transformers models that compute attention step by step.

`ViltModel` and `VisualBertModel` compute scores, softmax and weighted sum one after the other and keep the
probabilities, [N, heads, L, L], for the backward pass. torch's kernels do not; results are equal except for the last
bits.
"""

from typing import Any

from torch import Tensor, nn
from torch.nn import functional
from transformers.models.vilt.modeling_vilt import ViltSelfAttention
from transformers.models.visual_bert.modeling_visual_bert import VisualBertSelfAttention


class _Fused(nn.Module):
    query: nn.Linear
    key: nn.Linear
    value: nn.Linear
    dropout: nn.Dropout
    num_attention_heads: int

    def forward(
        self, hidden_states: Tensor, attention_mask: Tensor | None = None, output_attentions: bool = False
    ) -> tuple[Tensor, ...]:
        """[N, L, H] and the mask added to the scores, [N, 1, 1, L] -> [N, L, H], as transformers' own in a tuple."""
        if output_attentions:
            raise NotImplementedError("fused attention does not return probabilities")
        heads = self.num_attention_heads
        query, key, value = (
            layer(hidden_states).unflatten(2, (heads, -1)).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        mask = None if attention_mask is None else attention_mask.to(query.dtype)
        rate = self.dropout.p if self.training else 0.0
        mixed = functional.scaled_dot_product_attention(query, key, value, mask, rate)
        return (mixed.transpose(1, 2).flatten(2),)


class _Vilt(_Fused, ViltSelfAttention):
    pass


class _VisualBert(_Fused, VisualBertSelfAttention):
    pass


FUSED: dict[type[nn.Module], Any] = {ViltSelfAttention: _Vilt, VisualBertSelfAttention: _VisualBert}


def fuse(model: nn.Module) -> None:
    """Make a model's attention layers use torch's kernels; parameters keep their names and values."""
    for module in model.modules():
        if fused := FUSED.get(type(module)):
            module.__class__ = fused
