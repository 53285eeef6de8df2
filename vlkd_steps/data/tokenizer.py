"""Text to tokens: a word-level tokenizer for tiny students, and which word each token belongs to."""

import string
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from vlkd_steps.data.passages import Passage
from vlkd_steps.data.words import token_words

PIECE = 16_384
"""Segments that are tokenised at a time, since their spans take hundreds of bytes a token."""
SPECIAL = {
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}


def word_tokenizer(words: Iterable[str]) -> PreTrainedTokenizerFast:
    """A BERT-style WordPiece tokenizer whose pieces are whole `words`, lower-cased.

    A word outside the vocabulary is spelled, one token a character, so that unknown words stay distinct.
    """
    characters = [*string.ascii_lowercase, *string.digits, *string.punctuation]
    pieces = [*SPECIAL.values(), *characters, *(f"##{c}" for c in characters)]
    vocabulary = {piece: i for i, piece in enumerate(dict.fromkeys([*pieces, *sorted({w.lower() for w in words})]))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]", max_input_chars_per_word=40))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    ends = [(token, vocabulary[token]) for token in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=ends
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **SPECIAL)


def to_json(tokenizer: Any) -> str:
    """A fast tokenizer as one JSON string, with its special tokens."""
    return tokenizer.backend_tokenizer.to_str()


def from_json(text: str) -> PreTrainedTokenizerFast:
    """The reverse of `to_json`, for tokenizers with BERT's five special tokens."""
    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(text), **SPECIAL)


def encode(tokenizer: Any, passages: Sequence[Passage], max_tokens: int) -> tuple[Tensor, Tensor, Tensor]:
    """Tokenise P passages, each as [CLS] segment [SEP] segment [SEP] ..., cut at `max_tokens`, those included.

    The longest segment of a passage is cut first, from its end.

    Returns:
        ids and types, int64 [P, T], padded to the longest passage ([PAD] has type 0); lengths, int64 [P]. A [SEP] is of
        its segment's type, [CLS] of the first one's.
    """
    coded = {segment: list(pieces) for segment, pieces, _ in _pieces(tokenizer, passages)}
    rows: list[list[int]] = []
    types: list[list[int]] = []
    for passage in passages:
        kept = shares([len(coded[segment]) for segment, _ in passage], max_tokens - 1 - len(passage))
        ids, kinds = [tokenizer.cls_token_id], [passage[0][1]]
        for (segment, kind), number in zip(passage, kept, strict=True):
            ids += [*coded[segment][:number], tokenizer.sep_token_id]
            kinds += [kind] * (number + 1)
        rows.append(ids)
        types.append(kinds)
    lengths = torch.tensor([len(row) for row in rows], dtype=torch.int64)
    return _padded(rows, tokenizer.pad_token_id), _padded(types, 0), lengths


def words_of_tokens(tokenizer: Any, passages: Sequence[Passage], max_tokens: int) -> list[list[int]]:
    """For each token of each passage, cut as by `encode`, which word it belongs to.

    Returns:
        The word's position in ``data.words.split_words`` of the passage's whole text, or -1 (special tokens,
        punctuation).
    """
    known = {segment: _word_of_each(segment, spans) for segment, _, spans in _pieces(tokenizer, passages)}
    found = []
    for passage in passages:
        kept = shares([len(known[segment][0]) for segment, _ in passage], max_tokens - 1 - len(passage))
        words, first = [-1], 0
        for (segment, _), number in zip(passage, kept, strict=True):
            word_of, count = known[segment]
            words += [*(word + first if word >= 0 else -1 for word in word_of[:number]), -1]
            first += count
        found.append(words)
    return found


def _word_of_each(segment: str, spans: Sequence[tuple[int, int]]) -> tuple[list[int], int]:
    """The word that each token of a segment belongs to, or -1, and the number of its words."""
    word_of, words = [-1] * len(spans), token_words(segment, spans)
    for word, positions in enumerate(words):
        for position in positions:
            word_of[position] = word
    return word_of, len(words)


def shares(lengths: Sequence[int], limit: int) -> list[int]:
    """Tokens kept of each segment, so that all fit into `limit`: the longest is cut first, the later on ties.

    Example:
        >>> shares([5, 9, 2], 10)
        [4, 4, 2]
    """
    kept = list(lengths)
    while sum(kept) > max(limit, 0):
        longest = max(range(len(kept)), key=lambda segment: (kept[segment], segment))
        kept[longest] -= 1
    return kept


def _pieces(tokenizer: Any, passages: Sequence[Passage]) -> Iterator[tuple[str, list[int], list[tuple[int, int]]]]:
    """Each distinct segment with its token ids and their spans of characters."""
    segments = list(dict.fromkeys(segment for passage in passages for segment, _ in passage))
    for start in range(0, len(segments), PIECE):
        part = segments[start : start + PIECE]
        coded = tokenizer(part, add_special_tokens=False, return_offsets_mapping=True, return_attention_mask=False)
        yield from zip(part, coded["input_ids"], coded["offset_mapping"], strict=True)


def _padded(rows: Sequence[list[int]], filler: int) -> Tensor:
    padded = np.full((len(rows), max([0, *map(len, rows)])), filler, np.int64)
    for number, row in enumerate(rows):
        padded[number, : len(row)] = row
    return torch.from_numpy(padded)
