from collections.abc import Sequence
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken

from vlkd_steps.data.passages import TYPES, Passages
from vlkd_steps.data.tokenizer import SPECIAL, Tokenised, from_json, shares, to_json, word_tokenizer, write
from vlkd_steps.data.words import split_words

WORDS = ["what", "color", "is", "Red", "don't"]


def test_words_are_one_token_and_others_are_spelled() -> None:
    tokenizer = word_tokenizer(WORDS)
    assert tokenizer.tokenize("What COLOR is red?") == ["what", "color", "is", "red", "?"]
    assert tokenizer.tokenize("ox") == ["o", "##x"]
    assert tokenizer.tokenize("ol") != tokenizer.tokenize("lo")
    assert tokenizer.unk_token not in tokenizer.tokenize("zebra 42, qux!")


def test_special_tokens_come_first_and_order_of_words_does_not_matter() -> None:
    tokenizer = word_tokenizer(WORDS)
    assert tokenizer.convert_ids_to_tokens(list(range(5))) == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    assert tokenizer.get_vocab() == word_tokenizer(reversed(WORDS)).get_vocab()
    assert tokenizer("is").input_ids == [2, tokenizer.convert_tokens_to_ids("is"), 3]


def passages_of(*each: Sequence[str]) -> Passages:
    segments = list(dict.fromkeys(segment for passage in each for segment in passage))
    places = np.full((len(each), max(map(len, each), default=1)), -1)
    for row, passage in enumerate(each):
        places[row, : len(passage)] = [segments.index(segment) for segment in passage]
    return Passages(segments, places)


def test_encode_pads_and_cuts() -> None:
    tokenizer = word_tokenizer(WORDS)
    found = Tokenised(tokenizer, passages_of(["what don't, red"], ["is"]), max_tokens=9)
    ids, lengths = found.ids, found.lengths
    assert not found.types.any()
    cut = ["[CLS]", "what", "d", "##o", "##n", "'", "t", ",", "[SEP]"]
    assert tokenizer.convert_ids_to_tokens(ids[0].tolist()) == cut
    assert lengths.tolist() == [9, 3]
    assert ids[1].tolist() == [*tokenizer("is").input_ids, *[tokenizer.pad_token_id] * 6]
    assert Tokenised(tokenizer, passages_of(), max_tokens=9).ids.shape == (0, 0)


WORD = st.sampled_from(["what", "red", "don't", "ox,", "is?", ""])
PASSAGE = st.lists(st.lists(WORD, max_size=6).map(" ".join), min_size=1, max_size=3)


@given(st.lists(PASSAGE, max_size=5), st.integers(4, 16))
def test_passages_are_encoded_segment_by_segment_and_words_found_at_their_tokens(passages, max_tokens) -> None:
    tokenizer = word_tokenizer(WORDS)
    found = Tokenised(tokenizer, passages_of(*passages), max_tokens)
    ids, types, lengths = found.ids, found.types, found.lengths
    words = found.words(range(len(passages)))
    assert words.shape == (*ids.shape, 1)
    for row, passage in enumerate(passages):
        pieces = [tokenizer(segment, add_special_tokens=False).input_ids for segment in passage]
        kept = one_at_a_time(list(map(len, pieces)), max_tokens - 1 - len(passage))
        expected, kinds = [tokenizer.cls_token_id], [0]
        for of_segment, kind, number in zip(pieces, TYPES, kept, strict=False):
            expected += [*of_segment[:number], tokenizer.sep_token_id]
            kinds += [kind] * (number + 1)
        rest = ids.shape[1] - len(expected)
        assert ids[row].tolist() == expected + [tokenizer.pad_token_id] * rest
        assert types[row].tolist() == kinds + [0] * rest
        assert lengths[row] == len(expected)
        spelled = split_words(" ".join(passage))
        for token, word in zip(tokenizer.convert_ids_to_tokens(ids[row].tolist()), words[row, :, 0], strict=True):
            assert word < 0 or token.removeprefix("##") in (spelled[word], *spelled[word])
            assert word >= 0 or token in (*SPECIAL.values(), ",", "?")


def one_at_a_time(lengths: Sequence[int], limit: int) -> list[int]:
    """`shares` by its definition: a token is taken from the longest segment, of equally long ones from the last."""
    kept = list(lengths)
    while sum(kept) > max(limit, 0):
        kept[max(range(len(kept)), key=lambda segment: (kept[segment], segment))] -= 1
    return kept


@given(st.lists(st.tuples(*[st.integers(0, 30)] * 3, st.integers(-2, 60)), max_size=6))
def test_the_longest_segment_is_cut_first(rows) -> None:
    *lengths, limits = np.array(rows, np.int64).reshape(-1, 4).T
    found = shares(np.stack(lengths, axis=1), limits)
    assert found.tolist() == [one_at_a_time(row[:3], row[3]) for row in rows]


def test_wordpieces_of_a_word_share_its_number_and_punctuation_has_none() -> None:
    assert split_words("what don't, red") == ["what", "don't", "red"]
    found = Tokenised(word_tokenizer(WORDS), passages_of(["what don't, red"], ["red ox is"]), max_tokens=9)
    assert found.words([0, 1])[:, :, 0].tolist() == [[-1, 0, 1, 1, 1, 1, 1, -1, -1], [-1, 0, 1, 1, 2, -1, -1, -1, -1]]
    assert found.words([1])[:, :, 0].tolist() == [[-1, 0, 1, 1, 2, -1, -1, -1, -1]]


def test_a_token_belongs_to_each_word_that_it_covers() -> None:
    tokenizer = word_tokenizer([*WORDS, "person"])
    tokenizer.add_tokens([AddedToken("person 1", single_word=True)])
    found = Tokenised(tokenizer, passages_of(["what is red"], ["is person 1", "ox"]), max_tokens=9)
    assert found.words([0, 1]).tolist() == [
        [[-1, -1], [0, -1], [1, -1], [2, -1], [-1, -1], [-1, -1], [-1, -1]],
        [[-1, -1], [0, -1], [1, 2], [-1, -1], [3, -1], [3, -1], [-1, -1]],  # ox: two tokens
    ]


def test_a_tokenizer_file_that_truncates_and_pads_does_neither_here() -> None:
    tokenizer = word_tokenizer(WORDS)
    tokenizer.backend_tokenizer.enable_truncation(2)
    tokenizer.backend_tokenizer.enable_padding(length=9)
    assert Tokenised(tokenizer, passages_of(["what is red"]), 9).lengths.tolist() == [5]


def test_json_keeps_the_tokenizer() -> None:
    tokenizer = word_tokenizer(WORDS)
    again = from_json(to_json(tokenizer))
    assert again("what ox").input_ids == tokenizer("what ox").input_ids
    assert again.pad_token_id == 0
    assert again.mask_token_id == 4


def test_what_is_saved_does_not_depend_on_the_last_call(tmp_path: Path) -> None:
    """A run that was resumed after its last step makes no batch, and must give the bytes of one that was not."""
    new, used = word_tokenizer(WORDS), word_tokenizer(WORDS)
    used(["what color", "is"], truncation=True, max_length=3, padding=True)
    assert to_json(used) == to_json(new)
    assert used.backend_tokenizer.truncation, "the tokenizer itself, which another thread may use, stays as it is"
    for name, tokenizer in (("new", new), ("used", used)):
        write(tokenizer, tmp_path / name)
    for path in (tmp_path / "new").iterdir():
        assert path.read_bytes() == (tmp_path / "used" / path.name).read_bytes()
