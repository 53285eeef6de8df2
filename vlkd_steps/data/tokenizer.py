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

ABSENT = -1
"""In place of a number of tokens: the passage has fewer segments. With its [SEP] such a place counts 0."""
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
    numbers: dict[str, int] = {}
    pieces_of: list[np.ndarray] = []
    for segment, pieces, _ in _pieces(tokenizer, passages):
        numbers[segment] = len(pieces_of)
        pieces_of.append(np.array(pieces, np.int64))
    shape = len(passages), max(map(len, passages), default=0)
    segments, kinds, kept = np.zeros(shape, np.int64), np.zeros(shape, np.int64), np.full(shape, ABSENT)
    for row, passage in enumerate(passages):
        for place, (segment, kind) in enumerate(passage):
            segments[row, place], kinds[row, place] = numbers[segment], kind
            kept[row, place] = len(pieces_of[numbers[segment]])
    for cut in np.flatnonzero((kept + 1).sum(1) + 1 > max_tokens).tolist():
        size = len(passages[cut])
        kept[cut, :size] = shares(kept[cut, :size].tolist(), max_tokens - 1 - size)
    lengths = (kept + 1).sum(1) + 1
    return *_filled(tokenizer, pieces_of, segments, kinds, kept, lengths), torch.from_numpy(lengths)


def _filled(
    tokenizer: Any,
    pieces_of: Sequence[np.ndarray],
    segments: np.ndarray,
    kinds: np.ndarray,
    kept: np.ndarray,
    lengths: np.ndarray,
) -> tuple[Tensor, Tensor]:
    """Ids and types of `encode`, place by place for all passages at once: VCR has millions of them.

    Args:
        pieces_of: the token ids of each distinct segment.
        segments, kinds, kept: int64 [P, S], the segment at each place of a passage, its type and the number of its
            tokens that are kept, or ABSENT.
        lengths: int64 [P], with [CLS] and every [SEP].
    """
    pieces = np.concatenate([*pieces_of, np.zeros(0, np.int64)])
    counts = np.array([len(each) for each in pieces_of], np.int64)
    begins = counts.cumsum() - counts
    ids = np.full((len(kept), int(lengths.max(initial=0))), tokenizer.pad_token_id)
    types = np.zeros_like(ids)
    ids[:, :1], types[:, :1] = tokenizer.cls_token_id, kinds[:, :1]
    ends = np.ones(len(kept), np.int64)
    for place in range(kept.shape[1]):
        rows = np.flatnonzero(kept[:, place] != ABSENT)
        number, kind, first = kept[rows, place], kinds[rows, place], ends[rows]
        within = np.arange(number.sum()) - (number.cumsum() - number).repeat(number)
        at = rows.repeat(number), first.repeat(number) + within
        ids[at] = pieces[begins[segments[rows, place]].repeat(number) + within]
        types[at] = kind.repeat(number)
        ids[rows, first + number], types[rows, first + number] = tokenizer.sep_token_id, kind
        ends[rows] += number + 1
    return torch.from_numpy(ids), torch.from_numpy(types)


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
    kept, left = list(lengths), max(limit, 0)
    if sum(lengths) <= left:
        return kept
    cut = sorted(range(len(lengths)), key=lambda segment: lengths[segment])
    while lengths[cut[0]] <= left // len(cut):  # shorter than an even share of what is left
        left -= lengths[cut.pop(0)]
    for place, segment in enumerate(sorted(cut)):
        kept[segment] = left // len(cut) + (place < left % len(cut))
    return kept


def _pieces(tokenizer: Any, passages: Sequence[Passage]) -> Iterator[tuple[str, list[int], list[tuple[int, int]]]]:
    """Each distinct segment with its token ids and their spans of characters."""
    segments = list(dict.fromkeys(segment for passage in passages for segment, _ in passage))
    for start in range(0, len(segments), PIECE):
        part = segments[start : start + PIECE]
        coded = tokenizer(part, add_special_tokens=False, return_offsets_mapping=True, return_attention_mask=False)
        yield from zip(part, coded["input_ids"], coded["offset_mapping"], strict=True)
