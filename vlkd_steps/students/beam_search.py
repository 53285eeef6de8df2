"""Beam search over many rows at once, where finished rows leave the batch.

The results are those of transformers' `generate` with ``early_stopping=True`` (tests/students/test_beam_search.py), but
that keeps all rows until the slowest has ended, while most answers have one or two words. Also, the prefix is decoded
once per row, not once per beam. benchmarks/generation.py measures both. Where fewer texts than beams are allowed, all
of them are found: a copy of a beam is no text that has ended.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import BartForConditionalGeneration

NEVER = -1e9  # lower than the score of any text

Allowed = Callable[[Sequence[int]], Sequence[int]]


def search(
    bart: BartForConditionalGeneration,
    memory: Tensor,
    mask: Tensor,
    begun: Tensor,
    beams: int,
    most_tokens: int,
    allowed: Allowed | None = None,
) -> list[list[int]]:
    """The best text found for each of N rows, by mean log-likelihood of its tokens and the end.

    A row is generated until `beams` different texts have ended, or until none can continue.

    Args:
        bart: in evaluation mode.
        memory: the encoder's states, float32 [N, S, d].
        mask: int64 [N, S], 0 for padding.
        begun: the prefixes, of equal length, int64 [N, P].
        beams: number of beams.
        most_tokens: maximum length after the prefix of a text that ends, without the end token; a text that does not
            end there is cut one token later, as by transformers' ``max_new_tokens=most_tokens + 1``.
        allowed: which tokens may follow those generated after the prefix; None: all.

    Returns:
        N lists of tokens, without prefix and end token.
    """
    decoder, config = bart.model.decoder, bart.config
    end: Any = config.eos_token_id
    rows, limit, device = len(begun), most_tokens + 1, begun.device
    best = begun.new_full((rows, limit), end)
    best_score = torch.full((rows,), -torch.inf, device=device)
    ended = torch.zeros(rows, dtype=torch.long, device=device)

    alive: Tensor = torch.arange(rows, device=device)  # the rows of the batch
    written = begun.new_zeros((rows, beams, 0))
    scores = torch.full((rows, beams), NEVER, device=device)  # summed log-likelihoods
    scores[:, 0] = 0  # at first all beams are the same, and one is enough
    slots = alive[:, None]  # a row's beams in the cache
    read = decoder(begun, encoder_hidden_states=memory, encoder_attention_mask=mask, use_cache=True)
    known = read.past_key_values
    for length in range(1, limit + 1):
        likely = log_likelihoods(bart, read.last_hidden_state[:, -1]).view(len(alive), -1, config.vocab_size)
        total = scores[:, :, None] + restricted(likely.expand(-1, beams, -1), written, allowed)
        top, index = total.flatten(1).topk(2 * beams)  # enough to continue if half of them end
        beam, token = index // config.vocab_size, index % config.vocab_size
        texts = torch.cat([written.gather(1, beam[:, :, None].expand(-1, -1, length - 1)), token[:, :, None]], 2)

        at_end, real = token.eq(end), top > NEVER / 2  # copies and what is not allowed are no texts
        stopped = ((at_end | (length == limit)) & real)[:, :beams]
        value, which = torch.where(stopped, top[:, :beams] / length, -torch.inf).max(1)
        better = (value > best_score[alive]).nonzero()[:, 0]
        best[alive[better], :length] = texts[better, which[better]]
        best_score[alive[better]] = value[better]
        ended[alive] += stopped.sum(1)

        going = ((ended[alive] < beams) & (real & ~at_end).any(1)).nonzero()[:, 0]
        if length == limit or not len(going):
            break
        scores, chosen = (top + at_end * NEVER)[going].topk(beams)
        beam, token = beam[going].gather(1, chosen), token[going].gather(1, chosen)
        written = texts[going].gather(1, chosen[:, :, None].expand(-1, -1, length))
        kept = slots[going].expand(-1, beams).gather(1, beam).flatten()
        known.self_attention_cache.batch_select_indices(kept)
        if length == 1 or len(going) < len(alive):  # else only beams of a row, with one memory, are reordered
            known.cross_attention_cache.batch_select_indices(kept)
            mask = mask[kept]
            memory = memory[:1].expand(len(kept), -1, -1)  # its values are cached: only the shape matters
        alive, slots = alive[going], torch.arange(len(kept), device=device).view(-1, beams)
        latest = token.flatten()[:, None]
        read = decoder(latest, encoder_hidden_states=memory, encoder_attention_mask=mask, past_key_values=known)
    return [text[: text.index(end)] if end in text else text for text in best.tolist()]


def log_likelihoods(bart: BartForConditionalGeneration, states: Tensor) -> Tensor:
    """Log-probability of every next token after states [.., d]: [.., vocabulary]."""
    return (bart.lm_head(states) + bart.final_logits_bias).float().log_softmax(-1)


def restricted(likely: Tensor, written: Tensor, allowed: Allowed | None) -> Tensor:
    """Log-likelihoods [N, beams, vocabulary], minus infinity for tokens that may not follow `written` [N, beams, L]."""
    if allowed is None:
        return likely
    forbidden = torch.ones_like(likely, dtype=torch.bool)
    for row, of_beams in enumerate(written.tolist()):
        for beam, text in enumerate(of_beams):
            forbidden[row, beam, list(allowed(text))] = False
    return likely.masked_fill(forbidden, -torch.inf)
