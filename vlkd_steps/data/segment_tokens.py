"""The tokens of many texts, of which every distinct part is tokenised once.

A part is what stands between two spaces where the tokenizer never joins what a space separates, as BERT's; else the
whole text. Tokenising the 2 million segments of VCR as they are takes minutes, most of it for words seen before.
"""

from array import array
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from tokenizers import Tokenizer, normalizers, pre_tokenizers

PIECE = 1 << 17
"""Texts that are cut at a time, since their words take more memory than their tokens."""


class SegmentTokens:
    """Tokenises texts without special tokens, neither cut nor padded.

    Args:
        tokenizer: a fast tokenizer.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._fast: Tokenizer = tokenizer.backend_tokenizer
        self._fast.no_truncation()
        self._fast.no_padding()
        self._cut = at_spaces(self._fast)
        self._number: dict[str, int] = {}
        self._ids, self._spans, self._counts = array("i"), array("i"), array("q")  # of the parts, one after the other

    def ids(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """The tokens of the texts, int32 [T], one text after the other, and the number of each one's tokens, [S]."""
        found, counts = [np.zeros(0, np.int32)], [np.zeros(0, np.int64)]
        for start in range(0, len(texts), PIECE):
            parts, number, _ = self._parts(texts[start : start + PIECE])
            tokens, of_text = self._tokens(parts, number)
            found.append(np.frombuffer(self._ids, np.int32)[tokens])
            counts.append(of_text)
        return np.concatenate(found), np.concatenate(counts)

    def spans(self, texts: Sequence[str]) -> np.ndarray:
        """The characters [start, stop) of its text that each token covers, int64 [T, 2], in the order of `ids`."""
        parts, number, starts = self._parts(texts)
        tokens, _ = self._tokens(parts, number)
        of_part = np.frombuffer(self._counts, np.int64)[parts]
        return np.frombuffer(self._spans, np.int32).reshape(-1, 2)[tokens] + starts.repeat(of_part)[:, None]

    def _parts(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The numbers of all parts of the texts, how many each text has, and where in its text each part starts."""
        flat, number = pl.Series("part", texts, dtype=pl.String), np.ones(len(texts), np.int64)
        if self._cut:
            cut = flat.str.split(" ")
            flat, number = cut.explode(), cut.list.len().to_numpy().astype(np.int64)
        distinct = flat.unique()
        self._learn(distinct.to_list())
        numbers = pl.Series("number", [self._number[part] for part in distinct], dtype=pl.Int64)
        numbered = pl.DataFrame([distinct, numbers])
        parts = flat.to_frame().join(numbered, on="part", how="left", maintain_order="left")["number"].to_numpy()
        widths = flat.str.len_chars().to_numpy().astype(np.int64) + 1
        ends = widths.cumsum()
        before_text = (ends - widths)[number.cumsum() - number] if len(texts) else ends
        return parts, number, ends - widths - before_text.repeat(number)

    def _learn(self, parts: Sequence[str]) -> None:
        new = sorted(part for part in parts if part not in self._number)
        for part, coded in zip(new, self._fast.encode_batch(new, add_special_tokens=False), strict=True):
            self._number[part] = len(self._number)
            self._ids.extend(coded.ids)
            self._counts.append(len(coded))
            for span in coded.offsets:
                self._spans.extend(span)

    def _tokens(self, parts: np.ndarray, number: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where in the parts' tokens those of the texts are, [T], and how many each text has, [S]."""
        counts = np.frombuffer(self._counts, np.int64)
        of_part, first = counts[parts], (counts.cumsum() - counts)[parts]
        ends = np.append(0, of_part.cumsum())
        last = number.cumsum()
        return within(first, of_part), ends[last] - ends[last - number]


def at_spaces(fast: Tokenizer) -> bool:
    """Whether the tokens of "a b" are those of "a" and then those of "b", whatever a and b are.

    BERT's rules look at single characters, and end a word at a space. Tokens that were added are looked for in the
    whole text, before these rules.
    """
    added = fast.get_added_tokens_decoder().values()
    normal = fast.normalizer is None or isinstance(fast.normalizer, normalizers.BertNormalizer)
    ends_words = normal and isinstance(fast.pre_tokenizer, pre_tokenizers.BertPreTokenizer)
    return ends_words and not any(" " in token.content or token.lstrip or token.rstrip for token in added)


def within(first: np.ndarray, number: np.ndarray) -> np.ndarray:
    """first[0], first[0] + 1, ..., as many as number[0], then those from first[1], and so on."""
    return first.repeat(number) + np.arange(number.sum()) - (number.cumsum() - number).repeat(number)
