"""Writing by beam search: many rows at once, each behind a prefix of its own, freely or from a list of answers.

transformers' `generate` does the search. Rows whose prefixes have the same number of tokens are written together, so
that none is padded: BART's positions are counted from the first token, and padding on the left would move them.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig
from transformers.modeling_outputs import BaseModelOutput

from vlkd_steps.errors import UserError
from vlkd_steps.students.bart import BartStudent
from vlkd_steps.students.prompts import Prompt, answer_ids
from vlkd_steps.training.infilling import padded

BATCH = 128  # rows; with 4 beams the decoder sees four times as many


class Trie:
    """The answers of a list as token sequences: after which tokens which may come.

    Args:
        answers: texts, at least one.
        end: the token behind a complete answer.
    """

    def __init__(self, tokenizer: Any, answers: Sequence[str], end: int) -> None:
        if not answers:
            raise UserError("the list of answers to choose from is empty; give one or more, or none to write freely")
        self.end = end
        self.root: dict[int, Any] = {}
        self.longest = 0
        for answer in answers:
            place, tokens = self.root, answer_ids(tokenizer, answer)
            for token in tokens:
                place = place.setdefault(token, {})
            place[end] = {}
            self.longest = max(self.longest, len(tokens))

    def next(self, tokens: Sequence[int]) -> list[int]:
        """The tokens that may follow; behind a complete answer its end again."""
        place = self.root
        for token in tokens:
            place = place.get(token, {})
        return list(place) or [self.end]


def write(
    student: BartStudent,
    v: Tensor | None,
    prompt: Prompt,
    questions: Sequence[str],
    beams: int = 4,
    most_tokens: int = 20,
    answers: Sequence[str] | None = None,
) -> list[str]:
    """What the student writes for each of N rows.

    Args:
        student: in evaluation mode.
        v: image embeddings, float32 [N, D] of length 1, or None: it sees nothing but the text.
        prompt: where the questions go.
        questions: N of them; empty texts where the prompt has none.
        beams: of the search.
        most_tokens: that an answer may have, where the prompt leaves room for them.
        answers: all that may be written; None: anything.

    Returns:
        N texts without the prompt.

    Raises:
        UserError: a question that with its prompt leaves no room for an answer.
    """
    tokenizer, config = student.tokenizer, student.config
    texts = [prompt.text(tokenizer.mask_token, question) for question in questions]
    sources = tokenizer(texts, truncation=True, max_length=student.max_tokens).input_ids
    # The frame's EOS goes: the decoder is to write on.
    prefixes = [row[:-1] for row in tokenizer([prompt.prefix(question) for question in questions]).input_ids]
    trie = None if answers is None else Trie(tokenizer, answers, config.eos_token_id)
    wanted = most_tokens if trie is None else trie.longest

    def settings(prefix: int) -> GenerationConfig:
        return search(config, beams, room(student.max_tokens, prefix, 1 if trie is None else wanted, wanted))

    found = [""] * len(texts)
    by_length = sorted(range(len(texts)), key=lambda row: (len(prefixes[row]), len(sources[row])))
    for rows in runs(by_length, lambda row: len(prefixes[row])):
        for row, text in zip(
            rows,
            _write_alike(
                student,
                v,
                [sources[r] for r in rows],
                [prefixes[r] for r in rows],
                rows,
                settings(len(prefixes[rows[0]])),
                trie,
            ),
            strict=True,
        ):
            found[row] = text
    return found


def room(positions: int, prefix: int, least: int, most: int) -> int:
    """Tokens that an answer may have behind a prefix: `most`, or what a model of so many `positions` has left.

    Raises:
        UserError: less than `least`.
    """
    left = positions - prefix - 2  # beside the decoder's start and the end
    if left < least:
        raise UserError(
            f"a prompt of {prefix} tokens and an answer of {least} are more than the {positions} positions of this "
            "BART; shorten the question, the prompt or the answers"
        )
    return min(left, most)


def search(config: Any, beams: int, most_tokens: int) -> GenerationConfig:
    """Beam search for at most so many tokens and the end; nothing of it is left to the model's own defaults."""
    return GenerationConfig(
        max_new_tokens=most_tokens + 1,
        num_beams=beams,
        do_sample=False,
        early_stopping=beams > 1,
        length_penalty=1.0,
        bos_token_id=config.bos_token_id,
        eos_token_id=config.eos_token_id,
        pad_token_id=config.pad_token_id,
        decoder_start_token_id=config.decoder_start_token_id,
    )


def runs(rows: Sequence[int], length: Callable[[int], int]) -> list[list[int]]:
    """Cut rows into batches of one `length` each, at most `BATCH`."""
    found: list[list[int]] = []
    for row in rows:
        if not found or len(found[-1]) == BATCH or length(found[-1][0]) != length(row):
            found.append([])
        found[-1].append(row)
    return found


@torch.inference_mode()
def _write_alike(
    student: BartStudent,
    v: Tensor | None,
    sources: Sequence[Sequence[int]],
    prefixes: Sequence[Sequence[int]],
    rows: Sequence[int],
    settings: GenerationConfig,
    trie: Trie | None,
) -> list[str]:
    """One batch, whose prefixes have one length."""
    device = student.to_clip.weight.device
    tokens, mask = (part.to(device) for part in padded(sources, student.tokenizer.pad_token_id))
    memory = student.encode(tokens, mask)
    if v is not None:
        memory, mask = student.see(v[list(rows)].to(device), memory, mask)
    start = student.config.decoder_start_token_id
    begun = torch.tensor([[start, *prefix] for prefix in prefixes], device=device)
    width = begun.shape[1]
    # The prefix is read once a row, and not by every beam, nor is a next word asked for behind each of its tokens.
    decoder = student.bart.model.decoder
    known = decoder(begun[:, :-1], encoder_hidden_states=memory, encoder_attention_mask=mask, use_cache=True)
    known.past_key_values.batch_repeat_interleave(settings.num_beams)
    # A row's beams look at the same memory: when they change places, nothing of it need be copied.
    known.past_key_values.cross_attention_cache.reorder_cache = lambda _: None
    choose = None if trie is None else (lambda _, written: trie.next(written[width:].tolist()))
    written = student.bart.generate(  # type: ignore[misc]  # its mixin's own annotation
        encoder_outputs=BaseModelOutput(last_hidden_state=memory),
        attention_mask=mask,
        decoder_input_ids=begun,
        decoder_attention_mask=torch.ones_like(begun),  # of full length: so generate sees how much of it is known
        past_key_values=known.past_key_values,
        generation_config=settings,
        prefix_allowed_tokens_fn=choose,
    )
    texts = student.tokenizer.batch_decode(written[:, width:], skip_special_tokens=True)
    return [text.strip() for text in texts]
