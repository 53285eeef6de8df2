"""Batches of texts about scenes for a language model, without images, of one of two kinds.

- infilling: any text, masked as in BART (`infilling`, but never completely, because that would leave no context); all
  of it is written and scored;
- answers: a description and a question about it; the answer is masked, and it alone is scored.

A batch is a function of (seed, number).
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from random import Random
from typing import Any, NamedTuple

import torch
from torch import Tensor

from vlkd_steps.benchmarks.scenes import texts
from vlkd_steps.core import distributed
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.seeds import derive
from vlkd_steps.data.infilling import Infilling, padded

POOL = 8  # batches drawn together and sorted by length, which leaves a third of the padding
COUNTS = (0.15, 0.35, 0.3, 0.12, 0.08)  # of 1..5 objects in a description; one alone needs no looking up


class Row(NamedTuple):
    """A text's tokens as they are written, as the encoder reads them, and which written ones are scored (0 or 1)."""

    written: list[int]
    masked: list[int]
    scored: list[int]


class Texts:
    """The batches of one run: tensors by name, with a row for each of this process's B texts.

    - ``text``: int64 [B, T], padded; ``text_scored`` [B, T]: 1 where it is scored.
    - ``text_read``, ``text_read_mask``: int64 [B, T'], what the encoder reads.
    - ``text_total``: float32 [B], the whole batch's number of scored tokens divided by the number of processes.

    Args:
        tokenizer: of the student; longest: its positions.
        size: rows of a whole batch, of all processes.
        seed: of the run.
    """

    def __init__(self, tokenizer: Any, longest: int, size: int, seed: int) -> None:
        self.tokenizer, self.longest, self.size, self.seed = tokenizer, longest, size, seed
        self.noise = Infilling(tokenizer.mask_token_id)

    def __call__(self, number: int) -> Mapping[str, Tensor]:
        """The two kinds in turn."""
        return self.answers(number) if number % 2 else self.infilling(number)

    def infilling(self, number: int) -> Mapping[str, Tensor]:
        words = alike(_texts, self.seed, number, self.size)
        rows = self.tokenizer(words, truncation=True, max_length=self.longest).input_ids
        first = number * self.size
        masked = [self.noise(row, self.seed, first + place) for place, row in enumerate(rows)]
        return self._tensors([Row(row, read, [1] * len(row)) for row, read in zip(rows, masked, strict=True)])

    def answers(self, number: int) -> Mapping[str, Tensor]:
        """Raises UserError if a text has more tokens than the student positions: its answer would be cut off."""
        asked = alike(_answerable, self.seed, number, self.size)
        written = self.tokenizer([f"{text} {answer}" for text, answer in asked]).input_ids
        masked = self.tokenizer([f"{text} {self.tokenizer.mask_token}" for text, _ in asked]).input_ids
        if (most := max(map(len, written))) > self.longest:
            raise UserError(
                f"a description with its question has {most} tokens, and this BART {self.longest} positions; raise "
                "architecture.max_position_embeddings"
            )
        rows = []
        for whole, read in zip(written, masked, strict=True):
            before = len(read) - 2  # without the mask and the text's end
            rows.append(Row(whole, read, [0] * before + [1] * (len(whole) - before)))
        return self._tensors(rows)

    def _tensors(self, rows: list[Row]) -> Mapping[str, Tensor]:
        """This process's rows."""
        scored = sum(sum(row.scored) for row in rows) / distributed.count()
        own, pad = rows[distributed.share()], self.tokenizer.pad_token_id
        read, mask = padded([row.masked for row in own], pad)
        return {
            "text": padded([row.written for row in own], pad)[0],
            "text_read": read,
            "text_read_mask": mask,
            "text_scored": padded([row.scored for row in own], 0)[0],
            "text_total": torch.full((len(own),), scored),
        }


def alike(draw: Any, seed: int, number: int, size: int) -> list[Any]:
    """The texts of a batch, all of similar length; `draw` gives those of a pool in order of length."""
    pool, position = divmod(number, POOL)
    order = Random(derive(seed, "order of texts", pool)).sample(range(POOL), POOL)
    found: list[Any] = draw(seed, pool, size)[order[position] * size :][:size]
    return found


@lru_cache(maxsize=1)
def _texts(seed: int, pool: int, size: int) -> Sequence[str]:
    return sorted(texts.texts(derive(seed, "texts", pool), POOL * size), key=lambda text: (text.count(" "), text))


@lru_cache(maxsize=1)
def _answerable(seed: int, pool: int, size: int) -> Sequence[texts.Asked]:
    drawn = texts.answerable(derive(seed, "answerable", pool), POOL * size, COUNTS)
    return sorted(drawn, key=lambda asked: (asked.text.count(" "), asked))
