"""Text to tokens: a word-level tokenizer for tiny students, and which word each token belongs to."""

import string
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from vlkd_steps.data.passages import ABSENT, TYPES, Passages
from vlkd_steps.data.segment_tokens import SegmentTokens, within
from vlkd_steps.data.words import words_of_each_token

PIECE = 16_384
"""Passages that are filled at a time."""
SPECIAL = {
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}


def word_tokenizer(words: Iterable[str]) -> PreTrainedTokenizerFast:
    """A BERT-style WordPiece tokenizer whose pieces are whole `words`, lower-cased.

    A word outside the vocabulary is spelled, one token a character, so that unknown words stay distinct; but a word
    with other characters than a to z, accents left out, digits and punctuation is [UNK].
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
    """A fast tokenizer as one JSON string, with its special tokens; how its last call cut and padded is left out."""
    plain = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())  # a copy: another thread may use the tokenizer
    plain.no_truncation()
    plain.no_padding()
    return plain.to_str()


def from_json(text: str) -> PreTrainedTokenizerFast:
    """The reverse of `to_json`, for tokenizers with BERT's five special tokens."""
    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(text), **SPECIAL)


def write(tokenizer: Any, folder: Path) -> None:
    """Write a fast tokenizer's files; how its last call cut and padded is left out, as every call says it anew."""
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.backend_tokenizer.no_padding()
    tokenizer.save_pretrained(folder)


class Tokenised:
    """P passages as tokens, each as [CLS] segment [SEP] segment [SEP] ..., cut at `max_tokens`, those included.

    The longest segment of a passage is cut first, from its end. Each distinct segment is tokenised once, and passages
    are filled place by place, all at once: VCR has millions of them.

    Attributes:
        ids, types: int32 and uint8 [P, T], padded to the longest passage ([PAD] has type 0). A [SEP] is of its
            segment's type, [CLS] of the first one's.
        lengths: int64 [P].
        segments: the distinct segments.
    """

    def __init__(self, tokenizer: Any, passages: Passages, max_tokens: int) -> None:
        self.segments, self._places = passages.segments, passages.places
        self._segment_tokens = SegmentTokens(tokenizer)
        self._tokens, self._counts = self._segment_tokens.ids(self.segments)
        self._begins = self._counts.cumsum() - self._counts
        # With its [SEP] an absent segment counts 0.
        self._kept = np.where(self._places == ABSENT, -1, np.append(self._counts, 0)[self._places])
        cut = np.flatnonzero((self._kept + 1).sum(1) + 1 > max_tokens)
        present = self._places[cut] != ABSENT
        kept = shares(self._kept[cut].clip(min=0), max_tokens - 1 - present.sum(1))
        self._kept[cut] = np.where(present, kept, -1)
        lengths = (self._kept + 1).sum(1) + 1
        self.lengths = torch.from_numpy(lengths)
        ids = np.full((len(passages), int(lengths.max(initial=0))), tokenizer.pad_token_id, np.int32)
        types = np.zeros(ids.shape, np.uint8)
        ids[:, :1], types[:, :1] = tokenizer.cls_token_id, TYPES[0]
        for piece in _pieces(len(passages)):
            self._fill(np.arange(len(passages))[piece], ids[piece], types[piece], tokenizer.sep_token_id)
        self.ids, self.types = torch.from_numpy(ids), torch.from_numpy(types)

    def words(self, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        """For each token of the passages at `rows`, which words it belongs to.

        Returns:
            int32 [R, T, K], the words' positions in ``data.words.split_words`` of the passage's whole text, padded with
            -1; of special tokens, punctuation and padding there are none. K > 1 only if a token covers several words.
        """
        every = np.asarray(rows, np.int64)
        found = [self._words(every[piece]) for piece in _pieces(len(every))]
        most = max((each.shape[2] for each in found), default=1)
        wide = [np.pad(each, ((0, 0), (0, 0), (0, most - each.shape[2])), constant_values=-1) for each in found]
        return np.concatenate([np.zeros((0, self.ids.shape[1], most), np.int32), *wide])

    def _fill(self, rows: np.ndarray, ids: np.ndarray, types: np.ndarray, separator: int) -> None:
        for at, first, number, place in self._filled(rows):
            inside = at.repeat(number), within(first, number)
            ids[inside] = self._tokens[within(self._begins[self._places[rows[at], place]], number)]
            ids[at, first + number] = separator
            types[inside] = types[at, first + number] = TYPES[place]

    def _words(self, rows: np.ndarray) -> np.ndarray:
        places = self._places[rows]
        read, numbered = np.unique(places[places != ABSENT], return_inverse=True)
        segment = np.full(places.shape, ABSENT)
        segment[places != ABSENT] = numbered
        texts, counts = [self.segments[row] for row in read], self._counts[read]
        words_of, in_segment = words_of_each_token(texts, self._segment_tokens.spans(texts), counts)
        found = np.full((len(rows), self.ids.shape[1], words_of.shape[1]), -1, np.int32)
        before = np.zeros(len(rows), np.int64)
        for at, first, number, place in self._filled(rows):
            here = segment[at, place]
            words = words_of[within((counts.cumsum() - counts)[here], number)]
            moved = np.where(words >= 0, words + before[at].repeat(number)[:, None], -1)
            found[at.repeat(number), within(first, number)] = moved
            before[at] += in_segment[here]
        return found

    def _filled(self, rows: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, int]]:
        """Place by place: which of `rows` have a segment there, the position of its first token in the passage, the
        number of its tokens that are kept, and the place."""
        ends = np.ones(len(rows), np.int64)
        for place in range(self._places.shape[1]):
            here = np.flatnonzero(self._places[rows, place] != ABSENT)
            number, first = self._kept[rows[here], place], ends[here]
            yield here, first, number, place
            ends[here] += number + 1


def shares(lengths: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """Tokens kept of each segment, so that those of a row fit into its limit: the longest is cut first, later on ties.

    Args:
        lengths: int64 [N, K], 0 where a row has fewer segments.
        limits: int64 [N].

    Example:
        >>> shares(np.array([[5, 9, 2]]), np.array([10]))
        array([[4, 4, 2]])
    """
    ascending, places = np.sort(lengths, axis=1), lengths.shape[1]
    left, level, rest = limits.clip(min=0), lengths.max(axis=1, initial=0), np.zeros_like(limits)
    cut = np.zeros(len(lengths), bool)
    for place in range(places):  # the shorter ones are kept whole; the others get an even share of what is left
        even = left // (places - place)
        here = ~cut & (ascending[:, place] > even)
        level[here], rest[here] = even[here], (left % (places - place))[here]
        cut |= here
        left = left - ascending[:, place]
    longer = lengths > level[:, None]
    return np.where(longer, level[:, None] + (longer.cumsum(axis=1) <= rest[:, None]), lengths)


def _pieces(size: int) -> list[slice]:
    return [slice(start, start + PIECE) for start in range(0, size, PIECE)]
