import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import (
    BertConfig,
    BertModel,
    BertTokenizerFast,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaModel,
    T5Config,
    T5Model,
)

from vlkd_steps.core.errors import UserError
from vlkd_steps.teachers.models import text

WORDS = "[PAD] [UNK] [CLS] [SEP] [MASK] what color is the star ##s red of a ?".split()  # noqa: SIM905


@pytest.fixture(scope="module")
def folder(tmp_path_factory: Any) -> Path:
    """A BERT of one layer with random weights, as save_pretrained writes it."""
    path = tmp_path_factory.mktemp("bert")
    (path / "vocab.txt").write_text("\n".join(WORDS))
    BertTokenizerFast(vocab=str(path / "vocab.txt")).save_pretrained(path)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(WORDS), hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8
    )
    BertModel(config).save_pretrained(path)
    return path


def teacher(folder: Path, **more: Any) -> text.TextTeacher:
    return text.TextTeacher({"name": "tiny", "model": str(folder)} | more)


def states_of(made: text.TextTeacher, words: list[str]) -> np.ndarray:
    ids = torch.tensor([[WORDS.index(word) for word in words]])
    with torch.inference_mode():
        return made.model(ids, attention_mask=torch.ones_like(ids)).last_hidden_state[0].numpy()


def test_u_is_the_mean_or_the_first_token_and_words_are_means_of_their_pieces(folder: Path) -> None:
    made = teacher(folder)
    u, per_text = made.embed_texts(["What color is the STARS?", "red"])
    long = states_of(made, ["[CLS]", "what", "color", "is", "the", "star", "##s", "?", "[SEP]"])
    short = states_of(made, ["[CLS]", "red", "[SEP]"])
    np.testing.assert_allclose(u, [long.mean(0), short.mean(0)], atol=1e-5)  # padding counts for nothing
    assert per_text[0][0] == ["what", "color", "is", "the", "stars"]
    np.testing.assert_allclose(per_text[0][1][4], long[5:7].mean(0), atol=1e-5)
    np.testing.assert_allclose(per_text[1][1], short[1:2], atol=1e-5)
    first, _ = teacher(folder, pooling="cls").embed_texts(["red"])
    np.testing.assert_allclose(first[0], short[0], atol=1e-5)


def test_cut_texts_lose_their_last_words_and_templates_have_none(folder: Path) -> None:
    words, states = teacher(folder, max_tokens=5).embed_texts(["what color is the star"])[1][0]
    assert words == ["what", "color", "is"]
    assert states.shape == (3, 8)
    words, states = teacher(folder, template="what is a {}").embed_texts(["red star"])[1][0]
    assert words == ["red", "star"]
    framed = states_of(teacher(folder), ["[CLS]", "what", "is", "a", "red", "star", "[SEP]"])
    np.testing.assert_allclose(states, framed[4:6], atol=1e-5)


TINY = {"vocab_size": len(WORDS), "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
LONG = " ".join(["red"] * 600)


@pytest.mark.parametrize(
    ("model", "most"),
    [
        (BertModel(BertConfig(**TINY, intermediate_size=8, max_position_embeddings=20)), 20),
        (RobertaModel(RobertaConfig(**TINY, intermediate_size=8, max_position_embeddings=20, pad_token_id=1)), 18),
        (T5Model(T5Config(vocab_size=len(WORDS), d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2)), 512),
    ],
)
def test_texts_are_cut_where_the_model_has_no_more_positions(model: Any, most: int, tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("\n".join(WORDS))
    BertTokenizerFast(vocab=str(tmp_path / "vocab.txt")).save_pretrained(tmp_path)  # which states no limit
    model.save_pretrained(tmp_path)
    made = teacher(tmp_path)
    assert (made.max_tokens, len(made.embed_texts([LONG])[1][0][0])) == (most, most - 2)
    if most < 512:
        with pytest.raises(UserError, match=f"max_tokens is {most + 1}, and its model has positions for {most};"):
            teacher(tmp_path, max_tokens=most + 1)


def test_the_identity_covers_what_changes_features(folder: Path) -> None:
    assert teacher(folder).identity == teacher(folder).identity
    for change in ({"pooling": "cls"}, {"max_tokens": 4}, {"template": "a {}"}):
        assert teacher(folder, **change).identity != teacher(folder).identity


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_a_text_is_the_same_beside_a_longer_one_whatever_side_the_tokenizer_pads_on(
    folder: Path, tmp_path: Path, pooling: str
) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    settings = json.loads((copy / "tokenizer_config.json").read_text())
    (copy / "tokenizer_config.json").write_text(json.dumps(settings | {"padding_side": "left"}))
    expected, _ = teacher(folder, pooling=pooling).embed_texts(["red"])
    u, per_text = teacher(copy, pooling=pooling).embed_texts(["what color is the star", "red"])
    np.testing.assert_allclose(u[1], expected[0], atol=1e-5)
    assert per_text[1][0] == ["red"]


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_a_text_without_a_token_is_zero_in_any_batch(folder: Path, tmp_path: Path, pooling: str) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    bare = Tokenizer(WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="[UNK]"))
    bare.pre_tokenizer = Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=bare, pad_token="[PAD]", unk_token="[UNK]").save_pretrained(copy)
    made = teacher(copy, pooling=pooling)
    for texts in (["", " "], ["red star", ""]):
        u, per_text = made.embed_texts(texts)
        assert not u[1].any()
        assert (per_text[1][0], per_text[1][1].shape) == ([], (0, 8))
    np.testing.assert_allclose(u[0], made.embed_texts(["red star"])[0][0], atol=1e-6)
    assert u[0].any()


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("config.json", {"num_attention_heads": 4}),
        ("config.json", {"hidden_act": "relu"}),
        ("config.json", {"layer_norm_eps": 0.5}),
        ("tokenizer_config.json", {"truncation_side": "left"}),
    ],
)
def test_the_same_weights_in_another_model_are_another_identity(
    folder: Path, tmp_path: Path, name: str, change: dict[str, Any]
) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    assert teacher(copy).identity == teacher(folder).identity  # wherever it is
    path = copy / name
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    assert teacher(copy).identity != teacher(folder).identity


def test_mistakes_are_named(folder: Path, tmp_path: Path) -> None:
    for change, message in (
        ({"pooling": "max"}, "pooling is 'max'; write one of mean, cls"),
        ({"template": "a"}, "has no {}"),
        ({"max_tokens": 2}, "max_tokens is 2, which leaves none for a text; write 3 or more"),
        ({"model": str(tmp_path)}, "cannot be loaded .*; without network, put such a folder below models/"),
        ({"package": "no-such-package-here"}, "pip install no-such-package-here"),
    ):
        with pytest.raises(UserError, match=message):
            teacher(folder, **change)
