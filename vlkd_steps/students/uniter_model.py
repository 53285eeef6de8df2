"""UNITER (Chen et al. 2020): text and regions in one BERT encoder, in plain torch.

Modules and parameters are named as in the official code (ChenRocks/UNITER `model/model.py` and `model/layer.py`), so
that its checkpoints, and VILLA's, load by their own names. The official code packs text and regions without a gap
(`gather_index`); here the regions follow the padded text. Positions are in the embeddings and padding is masked, so the
output of every other token is the same.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

HIDDEN = -10000.0
"""Added to the attention scores of padding (official)."""

REGION_TYPE = 1
"""The token type of regions (official)."""

EPSILON = 1e-12


@dataclass(frozen=True)
class UniterConfig:
    """The official configuration's keys, with those of UNITER-base, and `img_dim`, the width of region features."""

    vocab_size: int = 28996
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    initializer_range: float = 0.02
    img_dim: int = 2048

    @classmethod
    def of(cls, keys: Mapping[str, Any]) -> Self:
        """The configuration with some keys given.

        Raises:
            ValueError: an unknown key, or a width that the heads do not divide.
        """
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(keys) - known)
        if unknown:
            raise ValueError(f"it has no key {unknown[0]!r}; its keys are {', '.join(sorted(known))}")
        config = cls(**keys)
        if config.hidden_size % config.num_attention_heads:
            raise ValueError(f"hidden_size {config.hidden_size} is no multiple of {config.num_attention_heads} heads")
        return config

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class TextEmbeddings(nn.Module):
    """Words, positions and types, summed and normalised."""

    def __init__(self, config: UniterConfig) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(config.vocab_size, config.hidden_size, padding_idx=0)
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, config.hidden_size)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=EPSILON)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, tokens: Tensor, types: Tensor, shift: Tensor | None = None) -> Tensor:
        """int64 [N, T] twice, and what is added to the words' vectors, [N, T, H] -> [N, T, H]."""
        positions = torch.arange(tokens.shape[1], device=tokens.device)
        words = self.word_embeddings(tokens)
        embedded = (words if shift is None else words + shift) + self.position_embeddings(positions)
        return self.dropout(self.LayerNorm(embedded + self.token_type_embeddings(types)))


class ImageEmbeddings(nn.Module):
    """Features and locations of regions, each projected and normalised, with the regions' type."""

    def __init__(self, config: UniterConfig) -> None:
        super().__init__()
        self.img_linear = nn.Linear(config.img_dim, config.hidden_size)
        self.img_layer_norm = nn.LayerNorm(config.hidden_size, eps=EPSILON)
        self.pos_layer_norm = nn.LayerNorm(config.hidden_size, eps=EPSILON)
        self.pos_linear = nn.Linear(7, config.hidden_size)
        self.mask_embedding = nn.Embedding(2, config.img_dim, padding_idx=0)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=EPSILON)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, features: Tensor, locations: Tensor, kind: Tensor, masked: Tensor | None = None) -> Tensor:
        """Features [N, R, D], locations [N, R, 7], type vector [H], regions to mask [N, R] -> [N, R, H]."""
        if masked is not None:
            row = self.mask_embedding.weight[1]  # the official code sets row 0 to zero at every call
            features = features + masked.to(row.dtype)[:, :, None] * row
        seen = self.img_layer_norm(self.img_linear(features))
        position = self.pos_layer_norm(self.pos_linear(locations))
        return self.dropout(self.LayerNorm(seen + position + kind))


class SelfAttention(nn.Module):
    def __init__(self, config: UniterConfig) -> None:
        super().__init__()
        self.heads = config.num_attention_heads
        self.query = nn.Linear(config.hidden_size, config.hidden_size)
        self.key = nn.Linear(config.hidden_size, config.hidden_size)
        self.value = nn.Linear(config.hidden_size, config.hidden_size)
        self.rate = config.attention_probs_dropout_prob

    def forward(self, states: Tensor, hidden: Tensor) -> Tensor:
        """[N, L, H] and the mask added to the scores, [N, 1, 1, L] -> [N, L, H]."""
        query, key, value = (
            layer(states).unflatten(2, (self.heads, -1)).transpose(1, 2) for layer in (self.query, self.key, self.value)
        )
        rate = self.rate if self.training else 0.0
        mixed = functional.scaled_dot_product_attention(query, key, value, hidden.to(query.dtype), rate)
        return mixed.transpose(1, 2).flatten(2)


class AddAndNorm(nn.Module):
    """A projection with a residual connection and layer normalisation."""

    def __init__(self, width: int, config: UniterConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(width, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=EPSILON)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, states: Tensor, before: Tensor) -> Tensor:
        return self.LayerNorm(self.dropout(self.dense(states)) + before)


class Attention(nn.Module):
    def __init__(self, config: UniterConfig) -> None:
        super().__init__()
        self.self = SelfAttention(config)
        self.output = AddAndNorm(config.hidden_size, config)

    def forward(self, states: Tensor, hidden: Tensor) -> Tensor:
        return self.output(self.self(states, hidden), states)


class Intermediate(nn.Module):
    def __init__(self, config: UniterConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.intermediate_size)

    def forward(self, states: Tensor) -> Tensor:
        return functional.gelu(self.dense(states))


class Layer(nn.Module):
    def __init__(self, config: UniterConfig) -> None:
        super().__init__()
        self.attention = Attention(config)
        self.intermediate = Intermediate(config)
        self.output = AddAndNorm(config.intermediate_size, config)

    def forward(self, states: Tensor, hidden: Tensor) -> Tensor:
        attended = self.attention(states, hidden)
        return self.output(self.intermediate(attended), attended)


class Encoder(nn.Module):
    """The layers; with `checkpointing`, a layer's activations are recomputed in the backward pass."""

    def __init__(self, config: UniterConfig) -> None:
        super().__init__()
        self.layer = nn.ModuleList(Layer(config) for _ in range(config.num_hidden_layers))
        self.checkpointing = False

    def forward(self, states: Tensor, hidden: Tensor) -> Tensor:
        for layer in self.layer:
            again = self.checkpointing and self.training
            states = checkpoint(layer, states, hidden, use_reentrant=False) if again else layer(states, hidden)
        return states


class Pooler(nn.Module):
    def __init__(self, config: UniterConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, states: Tensor) -> Tensor:
        return torch.tanh(self.dense(states[:, 0]))


class UniterModel(nn.Module):
    """The joint encoder. As in the official code, weights start from N(0, `initializer_range`), including the padding
    word's, LayerNorms from one and biases from zero."""

    def __init__(self, config: UniterConfig) -> None:
        super().__init__()
        self.config = config
        self.embeddings = TextEmbeddings(config)
        self.img_embeddings = ImageEmbeddings(config)
        self.encoder = Encoder(config)
        self.pooler = Pooler(config)
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=config.initializer_range)
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)

    def forward(
        self,
        tokens: Tensor,
        types: Tensor,
        mask: Tensor,
        features: Tensor | None = None,
        locations: Tensor | None = None,
        masked: Tensor | None = None,
        word_shift: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Encode text, with or without regions.

        Args:
            tokens, types: int64 [N, T].
            mask: int64 [N, T + R], 1 for tokens and regions, 0 for padding.
            features, locations: [N, R, D] and [N, R, 7]; None: text only.
            masked: [N, R], 1 for regions whose features are masked (official `img_masks`).
            word_shift: [N, T, H], added to the words' vectors (official `adv_delta_txt`).

        Returns:
            The input of the first layer and the output of the last, each [N, T + R, H].
        """
        embedded = self.embeddings(tokens, types, word_shift)
        if features is not None and locations is not None:
            kind = self.embeddings.token_type_embeddings.weight[REGION_TYPE]
            embedded = torch.cat([embedded, self.img_embeddings(features, locations, kind, masked)], dim=1)
        hidden = (1.0 - mask[:, None, None, :].to(embedded.dtype)) * HIDDEN
        return embedded, self.encoder(embedded, hidden)
