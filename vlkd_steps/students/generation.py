"""Writing by beam search: many rows at once, each behind a prefix of its own, freely or from a list of answers.

transformers' `generate` does the search. Rows whose prefixes have the same number of tokens are written together, so
that none is padded: BART's positions are counted from the first token, and padding on the left would move them.

`generate` goes on with all rows until the slowest has ended, and most end early. So a batch is first given only as many
tokens as most rows needed so far; what has not ended with those is written anew, together and with more tokens.
A row is taken over where all of its beams have ended, since more tokens change nothing then: the texts are the same.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby
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
PILOT = 16  # rows by which it is learned how many tokens rows need


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

    found = [""] * len(texts)
    needs: list[int] = []
    by_length = sorted(range(len(texts)), key=lambda row: (len(prefixes[row]), len(sources[row])))
    for length, alike in groupby(by_length, key=lambda row: len(prefixes[row])):
        most = room(student.max_tokens, length, 1 if trie is None else wanted, wanted)
        left, tried = list(alike), 0
        while left:
            unfinished, given = [], []
            for rows in batches(left, BATCH if needs else PILOT):
                tokens = first_try([need for need in needs if need > tried], most)
                memory = [sources[row] for row in rows], None if v is None else v[rows]
                written = _write_alike(student, *memory, [prefixes[row] for row in rows], beams, tokens, trie)
                for row, (text, need) in zip(rows, written, strict=True):
                    if need is None and tokens < most:
                        unfinished.append(row)
                    else:
                        found[row] = text
                        needs.append(most if need is None else need)
                given.append(tokens)
            left, tried = unfinished, min(given)
    return found


def first_try(needs: Sequence[int], most: int) -> int:
    """With how many tokens to begin, by what other rows needed: the fewest steps if these rows are like them.

    Those that do not end with `tokens` cost as much again as they need.
    """
    return min(
        {min(need, most) for need in needs} | {most},
        key=lambda tokens: tokens + sum(need for need in needs if need > tokens) / max(len(needs), 1),
    )


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
    """Beam search for at most so many tokens and the end, all beams returned, the likeliest first."""
    return GenerationConfig(
        max_new_tokens=most_tokens + 1,
        num_beams=beams,
        num_return_sequences=beams,
        do_sample=False,
        early_stopping=beams > 1,
        length_penalty=1.0,
        bos_token_id=config.bos_token_id,
        eos_token_id=config.eos_token_id,
        pad_token_id=config.pad_token_id,
        decoder_start_token_id=config.decoder_start_token_id,
    )


def batches(rows: Sequence[int], first: int) -> Iterator[Sequence[int]]:
    """Rows cut into batches of at most `BATCH`, the first of at most `first`."""
    yield rows[:first]
    for begin in range(first, len(rows), BATCH):
        yield rows[begin : begin + BATCH]


@torch.inference_mode()
def _write_alike(
    student: BartStudent,
    sources: Sequence[Sequence[int]],
    v: Tensor | None,
    prefixes: Sequence[Sequence[int]],
    beams: int,
    most_tokens: int,
    trie: Trie | None,
) -> list[tuple[str, int | None]]:
    """One batch, whose prefixes have one length: each row's text and the tokens that it needed.

    Those are the tokens without the end of the beam that ended last; None where a beam has not ended.
    """
    device = student.to_clip.weight.device
    tokens, mask = (part.to(device) for part in padded(sources, student.tokenizer.pad_token_id))
    memory = student.encode(tokens, mask)
    if v is not None:
        memory, mask = student.see(v.to(device), memory, mask)
    start = student.config.decoder_start_token_id
    begun = torch.tensor([[start, *prefix] for prefix in prefixes], device=device)
    width = begun.shape[1]
    # The prefix is read once a row, and not by every beam, nor is a next word asked for behind each of its tokens.
    decoder = student.bart.model.decoder
    known = decoder(begun[:, :-1], encoder_hidden_states=memory, encoder_attention_mask=mask, use_cache=True)
    known.past_key_values.batch_repeat_interleave(beams)
    # A row's beams look at the same memory: when they change places, nothing of it need be copied.
    known.past_key_values.cross_attention_cache.reorder_cache = lambda _: None
    choose = None if trie is None else (lambda _, written: trie.next(written[width:].tolist()))
    written = student.bart.generate(  # type: ignore[misc]  # its mixin's own annotation
        encoder_outputs=BaseModelOutput(last_hidden_state=memory),
        attention_mask=mask,
        decoder_input_ids=begun,
        decoder_attention_mask=torch.ones_like(begun),  # of full length: so generate sees how much of it is known
        past_key_values=known.past_key_values,
        generation_config=search(student.config, beams, most_tokens),
        prefix_allowed_tokens_fn=choose,
    )
    of_beams = written[:, width:].view(len(prefixes), beams, -1)
    ends = of_beams == student.config.eos_token_id
    needed = torch.where(ends.any(2), ends.int().argmax(2), most_tokens + 1).amax(1).tolist()
    texts = student.tokenizer.batch_decode(of_beams[:, 0], skip_special_tokens=True)
    return [(text.strip(), need if need <= most_tokens else None) for text, need in zip(texts, needed, strict=True)]
