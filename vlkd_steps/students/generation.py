"""Generation by beam search: many rows at once, each after its own prefix, as free text or from a list of answers.

Rows whose prefixes have the same number of tokens are generated together, so that none is padded: BART's positions are
counted from the first token, and padding on the left would shift them.
"""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import torch
from torch import Tensor

from vlkd_steps.core.errors import UserError
from vlkd_steps.data.infilling import padded
from vlkd_steps.students import beam_search
from vlkd_steps.students.bart import BartStudent
from vlkd_steps.students.prompts import Prompt, answer_ids

BATCH = 256  # rows; with 4 beams the decoder sees four times as many


class Trie:
    """A list of answers as a trie of token sequences.

    Args:
        answers: texts, at least one.
        end: the token after a complete answer.

    Attributes:
        texts: the answers by their tokens, which cannot always be decoded again ("t-shirt", "café"); the first of
            those with equal tokens.
        longest: tokens of the longest answer.
    """

    def __init__(self, tokenizer: Any, answers: Sequence[str], end: int) -> None:
        if not answers:
            raise UserError("the list of answers to choose from is empty; give at least one, or None for free text")
        self.end = end
        self.root: dict[int, Any] = {}
        self.texts: dict[tuple[int, ...], str] = {}
        self.longest = 0
        for answer in answers:
            node, tokens = self.root, answer_ids(tokenizer, answer)
            for token in tokens:
                node = node.setdefault(token, {})
            node[end] = {}
            self.texts.setdefault(tuple(tokens), answer)
            self.longest = max(self.longest, len(tokens))

    def next(self, tokens: Sequence[int]) -> list[int]:
        """The tokens that may follow; after a complete answer, its end again."""
        node = self.root
        for token in tokens:
            node = node.get(token, {})
        return list(node) or [self.end]


def write(
    student: BartStudent,
    v: Tensor | None,
    prompt: Prompt,
    questions: Sequence[str],
    beams: int = 4,
    most_tokens: int = 20,
    answers: Sequence[str] | None = None,
) -> list[str]:
    """The student's generated text for each of N rows.

    Args:
        student: in evaluation mode.
        v: image embeddings, float32 [N, D] of length 1; None: text only.
        prompt: the prompt into which the questions are filled.
        questions: N of them; empty texts if the prompt has no question.
        beams: number of beams.
        most_tokens: maximum length of an answer that ends, less where the prompt leaves fewer positions; one that does
            not end is cut one token later.
        answers: the allowed answers; None: any text.

    Returns:
        N texts without the prompt; of `answers`, as they are spelled there.

    Raises:
        UserError: a question and its prompt leave no positions for an answer, one text is given for a list of texts,
            or `beams` or `most_tokens` is less than 1.
    """
    for name, number in (("beams", beams), ("most_tokens", most_tokens)):
        if number < 1:
            raise UserError(f"{name} is {number}; give 1 or more")
    for name, given in (("questions are", questions), ("list of answers to choose from is", answers)):
        if isinstance(given, str):
            raise UserError(f"the {name} one text, {given!r}; give a list of texts, such as [{given!r}]")
    if not questions:
        return []
    tokenizer, config = student.tokenizer, student.config
    texts = [prompt.text(tokenizer.mask_token, question) for question in questions]
    sources = tokenizer(texts, truncation=True, max_length=student.max_tokens).input_ids
    # Without the closing EOS: the decoder continues.
    prefixes = [row[:-1] for row in tokenizer([prompt.prefix(question) for question in questions]).input_ids]
    trie = None if answers is None else Trie(tokenizer, answers, config.eos_token_id)
    wanted = most_tokens if trie is None else trie.longest

    found = [""] * len(texts)
    by_length = sorted(range(len(texts)), key=lambda row: (len(prefixes[row]), len(sources[row])))
    for length, alike in groupby(by_length, key=lambda row: len(prefixes[row])):
        tokens = answer_length(student.max_tokens, length, 1 if trie is None else wanted, wanted)
        together = list(alike)
        for rows in (together[begin : begin + BATCH] for begin in range(0, len(together), BATCH)):
            memory = [sources[row] for row in rows], None if v is None else v[rows]
            written = _write_alike(student, *memory, [prefixes[row] for row in rows], beams, tokens, trie)
            for row, text in zip(rows, written, strict=True):
                found[row] = text
    return found


def answer_length(positions: int, prefix: int, least: int, most: int) -> int:
    """Tokens that an answer may have after a prefix: `most`, or the remaining `positions` of the model if fewer.

    Raises:
        UserError: fewer than `least` are left.
    """
    left = positions - prefix - 2  # without the decoder's start and end tokens
    if left < least:
        raise UserError(
            f"a prompt of {prefix} tokens and an answer of {least} exceed the {positions} positions of this BART; "
            "shorten the question, the prompt or the answers"
        )
    return min(left, most)


@torch.inference_mode()
def probabilities(
    student: BartStudent, v: Tensor | None, prompt: Prompt, question: str, answers: Sequence[str]
) -> list[float]:
    """The probability of each answer to a question, with its end token, given the prompt; arguments as in `write`.

    Raises:
        UserError: the question, its prompt and an answer have more tokens than the model has positions.
    """
    tokenizer, config, device = student.tokenizer, student.config, student.to_clip.weight.device
    source = [prompt.text(tokenizer.mask_token, question)]
    tokens = torch.tensor(tokenizer(source, truncation=True, max_length=student.max_tokens).input_ids, device=device)
    mask = torch.ones_like(tokens)
    memory = student.encode(tokens, mask)
    if v is not None:
        memory, mask = student.see(v.to(device), memory, mask)
    prefix = tokenizer(prompt.prefix(question)).input_ids[:-1]
    continued = [answer_ids(tokenizer, answer) for answer in answers]
    longest = max(map(len, continued))
    answer_length(student.max_tokens, len(prefix), longest, longest)
    written = [[*prefix, *answer, config.eos_token_id] for answer in continued]
    target, there = (part.to(device) for part in padded(written, tokenizer.pad_token_id))
    many = len(answers)
    logits = student.write(memory.expand(many, -1, -1), mask.expand(many, -1), target)
    likely = logits.float().log_softmax(-1).gather(2, target[:, :, None])[:, :, 0] * there
    found: list[float] = likely[:, len(prefix) :].sum(1).double().exp().tolist()
    return found


@torch.inference_mode()
def _write_alike(
    student: BartStudent,
    sources: Sequence[Sequence[int]],
    v: Tensor | None,
    prefixes: Sequence[Sequence[int]],
    beams: int,
    most_tokens: int,
    trie: Trie | None,
) -> list[str]:
    """One batch, whose prefixes have equal length."""
    device = student.to_clip.weight.device
    tokens, mask = (part.to(device) for part in padded(sources, student.tokenizer.pad_token_id))
    memory = student.encode(tokens, mask)
    if v is not None:
        memory, mask = student.see(v.to(device), memory, mask)
    start = student.config.decoder_start_token_id
    begun = torch.tensor([[start, *prefix] for prefix in prefixes], device=device)
    allowed = None if trie is None else trie.next
    written = beam_search.search(student.bart, memory, mask, begun, beams, most_tokens, allowed)
    if trie is not None:
        return [trie.texts.get(tuple(tokens), "") for tokens in written]
    return [text.strip() for text in student.tokenizer.batch_decode(written, skip_special_tokens=True)]
