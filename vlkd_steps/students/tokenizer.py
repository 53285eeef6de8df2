"""Text to tokens: a word-level tokenizer for tiny students, and which word each token belongs to."""

import string
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from vlkd_steps.teachers.words import token_words

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


def encode(tokenizer: Any, texts: Sequence[str], max_tokens: int) -> tuple[Tensor, Tensor]:
    """Tokenise N texts, cut at `max_tokens` ([CLS] and [SEP] included).

    Returns:
        ids, int64 [N, T], padded to the longest text; lengths, int64 [N].
    """
    if not texts:  # which tokenizers do not take
        return torch.zeros(0, 0, dtype=torch.int64), torch.zeros(0, dtype=torch.int64)
    rows = tokenizer(list(texts), truncation=True, max_length=max_tokens, return_attention_mask=False).input_ids
    lengths = torch.tensor([len(row) for row in rows], dtype=torch.int64)
    longest = max(map(len, rows))
    padded = [row + [tokenizer.pad_token_id] * (longest - len(row)) for row in rows]
    return torch.tensor(padded, dtype=torch.int64), lengths


def words_of_tokens(tokenizer: Any, texts: Sequence[str], max_tokens: int) -> list[list[int]]:
    """For each token of each text, cut as by `encode`, which word it belongs to.

    Returns:
        The word's place in ``teachers.words.split_words(text)``, or -1 (special tokens, punctuation).
    """
    coded = tokenizer(list(texts), truncation=True, max_length=max_tokens, return_offsets_mapping=True)
    found = []
    for text, spans in zip(texts, coded["offset_mapping"], strict=True):
        words = [-1] * len(spans)
        for word, positions in enumerate(token_words(text, spans)):
            for position in positions:
                words[position] = word
        found.append(words)
    return found
