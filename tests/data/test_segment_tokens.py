"""Parts that are tokenised once give the tokens of the whole texts."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from vlkd_steps.data import segment_tokens
from vlkd_steps.data.segment_tokens import SegmentTokens
from vlkd_steps.data.tokenizer import SPECIAL, word_tokenizer

SEEN = ["what is the colour of the dog", "the dog's red ball , don't", "a café in İstanbul"]


def cased() -> PreTrainedTokenizerFast:
    """As bert-base-cased: neither lower-cased nor stripped of accents."""
    pieces = [*SPECIAL.values(), *"abcdehlortW'", *(f"##{letter}" for letter in "abcdehlort"), "the", "What", "##ing"]
    tokenizer = Tokenizer(models.WordPiece({piece: k for k, piece in enumerate(pieces)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False, strip_accents=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **SPECIAL)


def byte_level() -> PreTrainedTokenizerFast:
    """As BART's: the token of a word has the space before it."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(SEEN, trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>")


def with_names() -> PreTrainedTokenizerFast:
    """With an added token of two words."""
    tokenizer = word_tokenizer(" ".join(SEEN).split())
    tokenizer.add_tokens("red ball")
    return tokenizer


TOKENIZERS = {
    "words": word_tokenizer(" ".join(SEEN).split()),
    "cased": cased(),
    "byte_level": byte_level(),
    "with_names": with_names(),
}
WORD = st.sampled_from(
    [*" ".join(SEEN).split(), "", "[SEP]", "[MASK]", "the[CLS]", "red ball", "xx", "ab\tcd", "e\u0301", "\u0301"]
)
TEXT = st.lists(WORD | st.text(max_size=4), max_size=6).map(" ".join)


@pytest.mark.parametrize("name", TOKENIZERS)
@settings(max_examples=300)
@given(texts=st.lists(TEXT, max_size=6))
def test_texts_have_the_tokens_and_spans_that_the_tokenizer_gives_them(name: str, texts: list[str]) -> None:
    expected = TOKENIZERS[name].backend_tokenizer.encode_batch(texts, add_special_tokens=False)
    tokens = SegmentTokens(TOKENIZERS[name])
    for _ in range(2):  # the second time every part is known
        ids, counts = tokens.ids(texts)
        assert ids.tolist() == [number for coded in expected for number in coded.ids]
        assert counts.tolist() == [len(coded) for coded in expected]
        assert tokens.spans(texts).tolist() == [list(span) for coded in expected for span in coded.offsets]


def test_a_word_of_many_texts_is_tokenised_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    class Counting:
        def __init__(self, fast: Any) -> None:
            self.fast = fast

        def __getattr__(self, name: str) -> Any:
            return getattr(self.fast, name)

        def encode_batch(self, texts: list[str], **options: Any) -> Any:
            asked.extend(texts)
            return self.fast.encode_batch(texts, **options)

    tokens = SegmentTokens(TOKENIZERS["words"])
    tokens._fast = Counting(tokens._fast)
    monkeypatch.setattr(segment_tokens, "PIECE", 2)
    ids, counts = tokens.ids(["the dog", "the red dog", "dog", "the the"])
    assert sorted(asked) == ["dog", "red", "the"]
    assert counts.tolist() == [2, 3, 1, 2]
    assert len(ids) == 8


def test_only_a_tokenizer_that_ends_words_at_spaces_is_given_words() -> None:
    assert {name: segment_tokens.at_spaces(each.backend_tokenizer) for name, each in TOKENIZERS.items()} == {
        "words": True,
        "cased": True,
        "byte_level": False,
        "with_names": False,
    }
