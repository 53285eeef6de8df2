"""Initial weights with which a tiny BART can look up words in a text before it has learned anything (choice).

A large corpus teaches a language model to find where a word occurred and what stood beside it (induction heads, Olsson
et al. 2022). A tiny model sees too few texts for that: in a trial that set the first layer alone, 3,000 batches of
questions about a description left it guessing among the colours that the description names. So its width starts in
parts, one head wide but for the words':

    positions | words | the word 1 before | 2 before | 1 after | 2 after

Positions are sinusoids. Four heads of the encoder's first layer copy neighbouring words into their parts; four heads of
each later layer look from a word to the places beside which it stands. The decoder's first head reads the encoder at
its own place. Everything else is random, and all of it is trained.
"""

import torch
from torch import Tensor
from transformers import BartForConditionalGeneration
from transformers.models.bart.modeling_bart import BartAttention

from vlkd_steps.core.errors import UserError

OFFSETS = (-1, -2, 1, 2)  # of the neighbours that are copied
FASTEST, RATIO = 2.0, 30.0  # of the sinusoids: radians a token, and the fastest to the slowest
RMS = 0.2  # of a word's or a position's values; what else the embedding holds is zero
SHARPNESS = 40.0  # attention logit of the place that a head looks for; any other place has at most 0.65 of it
MATCH = 4.0  # factor of the logit between a word and its own copy
SKIPPED = 2  # rows of BART's table of positions before position 0
KEPT = 0.3  # factor of what a layer adds to words and positions, which later layers read


@torch.no_grad()
def set_weights(bart: BartForConditionalGeneration, name: str) -> None:
    """Set the weights in place; random ones are drawn from torch's generator.

    Raises:
        UserError: the heads of the student called `name` are too few, or too wide for its width.
    """
    attention = bart.model.encoder.layers[0].self_attn
    heads, head, width = attention.num_heads, attention.head_dim, attention.embed_dim
    words = width - head * (1 + len(OFFSETS))
    if words < head or head % 2:
        raise UserError(
            f"student {name}: its pre-training starts from weights that need at least {len(OFFSETS) + 2} encoder heads "
            f"of an even width, but architecture has {heads} of width {head}; change "
            "encoder_attention_heads or d_model"
        )
    _embed(bart, head, words)
    code = torch.randn(head, words) / words**0.5  # a word in a head's width, the same in every copy
    code -= code.mean(dim=1, keepdim=True)  # so that what the layer norm takes from all values alike has no effect
    rms = (width / (head + words)) ** 0.5  # of words and positions after the embedding's layer norm
    scale = SHARPNESS**0.5 * head**-0.25 / rms
    for number, layer in enumerate(bart.model.encoder.layers):
        for place, offset in enumerate(OFFSETS):
            rows = slice(place * head, (place + 1) * head)
            copied = slice(head + words + rows.start, head + words + rows.stop)
            if number == 0:
                _look(layer.self_attn, rows, offset, scale, blank=head + words)
                _copy(layer.self_attn, rows, code, copied)
            else:
                _match(layer.self_attn, rows, code, copied)
        layer.fc2.weight[: head + words] *= KEPT
    for layer in bart.model.decoder.layers:
        _look(layer.encoder_attn, slice(0, head), 0, scale, blank=head + words)


def _embed(bart: BartForConditionalGeneration, head: int, words: int) -> None:
    table = bart.model.shared.weight
    drawn = RMS * torch.randn(len(table), words)
    table.zero_()
    table[:, head : head + words] = drawn
    table[bart.config.pad_token_id] = 0.0
    for part in (bart.model.encoder, bart.model.decoder):
        positions = part.embed_positions.weight
        angles = torch.arange(len(positions) - SKIPPED)[:, None] * _frequencies(head)
        positions.zero_()
        positions[SKIPPED:, :head] = RMS * 2**0.5 * torch.cat([angles.sin(), angles.cos()], dim=1)


def _frequencies(head: int) -> Tensor:
    return FASTEST * RATIO ** (-torch.arange(head // 2) / (head // 2))


def _look(attention: BartAttention, rows: slice, offset: int, scale: float, blank: int) -> None:
    """A head that attends to the place `offset` on: its query is that place's sinusoid.

    The layer norm takes the mean from all values. What it took is what is left in values that were zero, those from
    `blank` on, and is added again.
    """
    width = rows.stop - rows.start
    cos, sin = ((_frequencies(width) * offset).cos().diag(), (_frequencies(width) * offset).sin().diag())
    rotation = torch.cat([torch.cat([cos, sin], dim=1), torch.cat([-sin, cos], dim=1)])
    for projection, matrix in ((attention.q_proj, rotation), (attention.k_proj, torch.eye(width))):
        projection.weight[rows] = 0.0
        projection.weight[rows, :width] = scale * matrix
        projection.weight[rows, blank : blank + width] = -scale * matrix


def _copy(attention: BartAttention, rows: slice, code: Tensor, into: slice) -> None:
    """A head that writes the words it attends to into a part of the width."""
    head, words = code.shape
    attention.v_proj.weight[rows] = 0.0
    attention.v_proj.weight[rows, head : head + words] = code
    attention.out_proj.weight[:, rows] = 0.0
    attention.out_proj.weight[into, rows] = torch.eye(head)


def _match(attention: BartAttention, rows: slice, code: Tensor, copies: slice) -> None:
    """A head that attends from a word to places with its copy."""
    head, words = code.shape
    attention.q_proj.weight[rows] = 0.0
    attention.q_proj.weight[rows, head : head + words] = MATCH**0.5 * code
    attention.k_proj.weight[rows] = 0.0
    attention.k_proj.weight[rows, copies] = MATCH**0.5 * torch.eye(head)
