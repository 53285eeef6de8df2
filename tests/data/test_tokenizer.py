from vlkd_steps.data.tokenizer import encode, from_json, to_json, word_tokenizer, words_of_tokens
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


def test_encode_pads_and_cuts() -> None:
    tokenizer = word_tokenizer(WORDS)
    ids, types, lengths = encode(tokenizer, [(("what don't, red", 0),), (("is", 0),)], max_tokens=9)
    assert not types.any()
    cut = ["[CLS]", "what", "d", "##o", "##n", "'", "t", ",", "[SEP]"]
    assert tokenizer.convert_ids_to_tokens(ids[0].tolist()) == cut
    assert lengths.tolist() == [9, 3]
    assert ids[1].tolist() == [*tokenizer("is").input_ids, *[tokenizer.pad_token_id] * 6]
    assert encode(tokenizer, [], max_tokens=9)[0].shape == (0, 0)


def test_wordpieces_of_a_word_share_its_number_and_punctuation_has_none() -> None:
    assert split_words("what don't, red") == ["what", "don't", "red"]
    found = words_of_tokens(word_tokenizer(WORDS), [(("what don't, red", 0),), (("red ox is", 0),)], max_tokens=9)
    assert found == [[-1, 0, 1, 1, 1, 1, 1, -1, -1], [-1, 0, 1, 1, 2, -1]]


def test_json_keeps_the_tokenizer() -> None:
    tokenizer = word_tokenizer(WORDS)
    again = from_json(to_json(tokenizer))
    assert again("what ox").input_ids == tokenizer("what ox").input_ids
    assert again.pad_token_id == 0
    assert again.mask_token_id == 4
