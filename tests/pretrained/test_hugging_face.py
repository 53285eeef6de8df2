import json
import logging
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import models
import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModel, BertModel

from vlkd_steps.core.errors import UserError
from vlkd_steps.pretrained import folder as folders
from vlkd_steps.pretrained import hugging_face
from vlkd_steps.students import initialization


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return models.bert(tmp_path / "bert")


def load(folder: Path) -> Any:
    return hugging_face.model(folder, "teacher x", may_be_new=lambda name: name.startswith("pooler."))


def test_a_whole_folder_loads_and_says_how_many_tensors_came(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "vlkd_steps"):
        made = load(folder)
    number = len(made.state_dict())
    assert f"teacher x: {folder}/model.safetensors: {number} of {number} tensors came from the file" in caplog.text


def test_code_of_a_folder_is_not_run_and_its_keys_are_not_read(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked whether to run code"))
    models.armed(folder, tmp_path / "mark")
    hidden = {"_attn_implementation": "evil/kernels", "attn_implementation": "evil/kernels", "name_or_path": "/etc"}
    models.changed(folder / "config.json", lambda config: config.update(hidden))
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "evil/base"}))
    with caplog.at_level(logging.INFO, "vlkd_steps"):
        made = load(folder)
        hugging_face.tokenizer(folder, "teacher x")
    assert type(made).__name__ == "BertModel"
    assert not (tmp_path / "mark").exists()
    left = "_attn_implementation, attn_implementation, auto_map, name_or_path, trust_remote_code"
    assert f"{folder}/config.json: not read: {left}" in caplog.text


def test_a_kind_that_only_the_folders_code_knows_is_refused(folder: Path, tmp_path: Path) -> None:
    models.armed(folder, tmp_path / "mark")
    models.changed(folder / "config.json", lambda config: config.update(model_type="evil"))
    with pytest.raises(UserError, match=r"config\.json: model_type is 'evil', which transformers does not have"):
        load(folder)
    with pytest.raises(UserError, match="model_type is 'evil'"):
        hugging_face.tokenizer(folder, "x")
    assert not (tmp_path / "mark").exists()


HIDDEN = {
    "eurobert": {"rope_theta": 3.0, "num_key_value_heads": 2},
    "modernbert": {"global_rope_theta": 3.0, "local_rope_theta": 2.0, "global_attn_every_n_layers": 2},
    "deberta-v2": {
        "relative_attention": True,
        "position_buckets": 4,
        "share_att_key": True,
        "norm_rel_ebd": "layer_norm",
        "pos_att_type": ["p2c", "c2p"],
    },
}
"""Keys of a published config.json that the class of configurations does not list, and some that it does."""


@pytest.mark.parametrize("kind", HIDDEN)
def test_states_are_those_of_transformers_also_with_keys_that_no_class_lists(tmp_path: Path, kind: str) -> None:
    sizes = {"vocab_size": 12, "hidden_size": 8, "num_hidden_layers": 3, "num_attention_heads": 2}
    special = {"intermediate_size": 8, **dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id"), 0)}
    described = {**sizes, **special, "cls_token_id": 0, "sep_token_id": 0, **HIDDEN[kind]}
    torch.manual_seed(0)
    made = AutoModel.from_config(AutoConfig.for_model(kind, **described))
    for tensor in made.parameters():
        torch.nn.init.normal_(tensor)
    made.save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind, **described}))
    tokens = torch.randint(1, 12, (1, 20))
    theirs, ours = AutoModel.from_pretrained(tmp_path).eval(), load(tmp_path).eval()
    assert torch.equal(theirs(input_ids=tokens).last_hidden_state, ours(input_ids=tokens).last_hidden_state)


class Evil:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return (Path.touch, (self.mark,))


@pytest.mark.parametrize("suffix", folders.PICKLED)
def test_pickles_are_named_and_not_read(folder: Path, tmp_path: Path, suffix: str) -> None:
    pickled = folder / f"pytorch_model{suffix}"
    pickled.write_bytes(pickle.dumps(Evil(tmp_path / "mark")))
    load(folder)  # the safetensors beside it
    (folder / "model.safetensors").unlink()
    with pytest.raises(UserError, match=rf"holds no \*\.safetensors, and {pickled.name} is not read"):
        load(folder)
    save_file({"dummy": torch.zeros(1)}, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"embeddings\.LayerNorm\.bias is not there \(0 of \d+ tensors came"):
        load(folder)
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("name", ["pytorch_model.bin", "../other.safetensors", "/etc/x.safetensors", 3])
def test_an_index_names_safetensors_of_its_folder_alone(folder: Path, name: Any) -> None:
    (folder / "model.safetensors").unlink()
    (folder / folders.SHARDS).write_text(json.dumps({"weight_map": {"a": name}}))
    with pytest.raises(UserError, match=r"weight_map\.a: .* is no safetensors file"):
        load(folder)


def test_weights_in_several_files(folder: Path) -> None:
    whole = load(folder)
    whole.save_pretrained(folder / "parts", max_shard_size="1KB")
    assert not (folder / "parts/model.safetensors").exists()
    again = load(folder / "parts")
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in whole.state_dict().items())


WRONG: list[tuple[Callable[[dict[str, Any]], dict[str, Any]], str]] = [
    (
        lambda held: {f"other.{name}": tensor for name, tensor in held.items()},
        r"embeddings\.LayerNorm\.bias is not there \(0 of 23 tensors came from the file\)",
    ),
    (
        lambda held: {name: tensor for name, tensor in held.items() if "word_embeddings" not in name},
        r"embeddings\.word_embeddings\.weight is not there \(22 of 23 tensors",
    ),
    (
        lambda held: {**held, "encoder.layer.1.output.dense.bias": torch.zeros(8)},
        r"this one has no tensor encoder\.layer\.1\.output\.dense\.bias",
    ),
    (
        lambda held: {**held, "embeddings.LayerNorm.bias": torch.zeros(4)},
        r"embeddings\.LayerNorm\.bias has shape \[4\], not \[8\]",
    ),
    (
        lambda held: {**held, "embeddings.LayerNorm.bias": torch.full((8,), torch.nan)},
        r"values that are not finite numbers, first in embeddings\.LayerNorm\.bias",
    ),
    (
        lambda held: {**held, "encoder.layer.0.output.dense.bias": torch.full((8,), -torch.inf)},
        r"first in encoder\.layer\.0\.output\.dense\.bias",
    ),
]


@pytest.mark.parametrize(("change", "message"), WRONG)
def test_weights_that_were_not_loaded_are_named(folder: Path, change: Any, message: str) -> None:
    models.reweighted(folder / "model.safetensors", change)
    with pytest.raises(UserError, match=message) as error:
        load(folder)
    assert f"{folder}/model.safetensors" in str(error.value)


def test_quantised_weights_are_refused(folder: Path) -> None:
    """A loader casts them: nearly all become zeros, and every tensor came from the file."""
    name = "embeddings.word_embeddings.weight"

    def quantised(held: dict[str, Any]) -> dict[str, Any]:
        return {key: tensor.to(torch.int8) if key.endswith(name) else tensor for key, tensor in held.items()}

    models.reweighted(folder / "model.safetensors", quantised)
    with pytest.raises(UserError, match=rf"holds \S*{name} not as floating-point numbers"):
        load(folder)


def test_what_may_be_new_and_heads_may_be_missing_and_more(folder: Path) -> None:
    def with_heads(held: dict[str, Any]) -> dict[str, Any]:
        kept = {f"bert.{name}": tensor for name, tensor in held.items() if not name.startswith("pooler.")}
        return {**kept, "cls.predictions.bias": torch.zeros(3), "my_head.weight": torch.zeros(3)}

    models.reweighted(folder / "model.safetensors", with_heads)
    load(folder)
    with pytest.raises(UserError, match=r"pooler\.dense\.bias is not there \(21 of 23"):
        hugging_face.model(folder, "student x")


@pytest.mark.parametrize("size", [0, 7, 300, -8])
def test_cut_files_are_named(folder: Path, size: int) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(UserError, match=r"model\.safetensors cannot be loaded"):
        load(folder)


@pytest.mark.parametrize(
    "change", [{"hidden_size": "wide"}, {"hidden_size": -1}, {"num_attention_heads": 0}, {"hidden_act": "evil"}]
)
def test_a_configuration_that_transformers_rejects_is_a_message(folder: Path, change: dict[str, Any]) -> None:
    models.changed(folder / "config.json", lambda config: config.update(change))
    with pytest.raises(UserError, match=r"cannot be loaded"):
        load(folder)


def test_a_folder_without_a_tokenizer_gives_none(folder: Path) -> None:
    whole = hugging_face.tokenizer(folder, "teacher x")
    assert len(whole) == len(models.WORDS)
    with pytest.raises(UserError, match="tokenizer numbers tokens up to 14 and the model has vectors for 9"):
        hugging_face.check_vocabulary(whole, 9, "x")
    (folder / "vocab.txt").write_text("")
    (folder / "tokenizer.json").unlink()
    with pytest.raises(UserError, match=r"special tokens and no word|cannot be loaded"):
        hugging_face.tokenizer(folder, "teacher x")
    (folder / "vocab.txt").unlink()
    with pytest.raises(UserError, match=r"holds no tokenizer \(none of tokenizer\.json, vocab\.txt"):
        hugging_face.tokenizer(folder, "teacher x")


def test_a_vocabulary_saved_by_windows_has_the_same_words(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\ncat\n", encoding="utf-8-sig")
    found = hugging_face.tokenizer(tmp_path, "x")
    assert (found.pad_token_id, found.convert_tokens_to_ids("cat"), len(found)) == (0, 5, 6)


@pytest.mark.parametrize("config", [None, '{"model_type": "bert"}', '{"model_type": "mpnet"}'])
@pytest.mark.parametrize("words", [["The", "dog"], ["the", "dog"]])
def test_words_alone_are_a_tokenizer_that_keeps_capitals_if_they_have_some(
    tmp_path: Path, words: list[str], config: str | None
) -> None:
    special = ["<s>", "</s>", "<pad>", "<unk>", "<mask>", "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    (tmp_path / "vocab.txt").write_text("\n".join([*special, *words]))
    if config:
        (tmp_path / "config.json").write_text(config)
    assert hugging_face.tokenizer(tmp_path, "x").tokenize("The dog") == words
    (tmp_path / "tokenizer_config.json").write_text('{"do_lower_case": true}')  # stated, and so it holds
    assert hugging_face.tokenizer(tmp_path, "x").tokenize("The dog")[1] == "dog"
    assert hugging_face.tokenizer(tmp_path, "x").tokenize("The dog")[0] != "The"


def test_a_whole_tokenizers_own_rules_hold_where_its_configuration_states_none(folder: Path) -> None:
    rules = {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": False, "strip_accents": False}
    models.changed(folder / "tokenizer.json", lambda whole: whole.update(normalizer={**rules, "lowercase": False}))
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer"}')
    assert hugging_face.tokenizer(folder, "x").tokenize("What color") == ["[UNK]", "color"]
    models.changed(folder / "tokenizer.json", lambda whole: whole.update(normalizer={**rules, "lowercase": True}))
    found = hugging_face.tokenizer(folder, "x")
    assert found.tokenize("What c\N{LATIN SMALL LETTER O WITH ACUTE}lor") == ["what", "[UNK]"], "accents are kept"
    assert found.tokenize("a\u4e00") == ["[UNK]"], "one word"


def test_a_damaged_tokenizer_is_a_message(folder: Path) -> None:
    (folder / "tokenizer.json").write_text('{"model": 3}')
    with pytest.raises(UserError, match=r"the tokenizer of .* cannot be loaded"):
        hugging_face.tokenizer(folder, "teacher x")


def test_a_repository_of_pickles_is_named_and_a_tokenizers_weights_are_not_fetched(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []

    def fetched(name: str, allow_patterns: list[str], **_: Any) -> str:
        asked.append(allow_patterns)
        return str(folder)

    monkeypatch.setattr("huggingface_hub.snapshot_download", fetched)
    assert initialization.load("org/bert@refs/pr/1", "mine", BertModel, "BERT")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(UserError, match=r"the repository org/bert of the hub has no weights as safetensors.*NAME@REV"):
        initialization.load("org/bert", "mine", BertModel, "BERT")
    assert initialization.tokenizer("org/bert", "mine")
    assert not [each for each in asked[-1] if each.endswith("safetensors")]


def test_nothing_is_left_behind(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "t").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "t"))
    before = sorted(path.name for path in folder.iterdir())
    load(folder)
    assert not list((tmp_path / "t").iterdir())
    assert sorted(path.name for path in folder.iterdir()) == before


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("tokenizer_config.json", '{"model_max_length": "x"}', "cannot be loaded"),
        ("tokenizer_config.json", '{"model_max_length": -1}', "cannot be loaded .model_max_length is -1"),
        ("tokenizer_config.json", '{"do_lower_case": "false"}', "do_lower_case is 'false', not true or false"),
        ("vocab.txt", "[PAD]\ncat\n", "Missing .UNK. token from the vocabulary"),
    ],
)
def test_a_tokenizer_that_fails_at_its_first_text_is_refused(
    tmp_path: Path, name: str, content: str, message: str
) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\ncat\n")
    assert hugging_face.tokenizer(tmp_path, "x").tokenize("cat") == ["cat"]
    (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=message):
        hugging_face.tokenizer(tmp_path, "x")
