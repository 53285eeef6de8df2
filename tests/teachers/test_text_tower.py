from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import polars as pl
import pytest
import torch
from transformers import BertConfig, BertTokenizerFast

from vlkd_steps.core.errors import UserError
from vlkd_steps.teachers.features import extraction
from vlkd_steps.teachers.models import clip
from vlkd_steps.teachers.models.text_tower import TextTower

VISION = {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16}
TEXT = {"context_length": 20, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2}
TEXTS = ["red", "what is it?", "is the kitten on the left of the small red table?", "no " * 40]
CLIP, CUSTOM = open_clip.model.CLIP, open_clip.model.CustomTextCLIP


def built(kind: Any, **text: Any) -> Any:
    torch.manual_seed(0)
    return kind(16, VISION, TEXT | text).eval()


@torch.inference_mode()
def compare(model: Any, tokenizer: Any, texts: list[str]) -> list[int]:
    """That features and states are open_clip's own; returns the lengths."""
    tower, tokens = TextTower(model, tokenizer), tokenizer(texts)
    pooled, states = tower.encode(tokens)
    whole: list[Any] = []
    hook = tower.last_layer.register_forward_hook(lambda _m, _i, output: whole.append(output))
    expected = model.encode_text(tokens)
    hook.remove()
    torch.testing.assert_close(pooled, expected, atol=1e-5, rtol=0)
    lengths = tower.lengths(tokens).tolist()
    assert states.shape[1] == max(lengths)
    for row, length in enumerate(lengths):
        found = getattr(whole[0], "last_hidden_state", whole[0])
        torch.testing.assert_close(states[row, :length], found[row, :length], atol=1e-5, rtol=0)
    return lengths


@pytest.mark.parametrize("kind", [CLIP, CUSTOM])
def test_a_causal_tower_gives_open_clips_features_from_as_many_positions_as_the_texts_have(kind: Any) -> None:
    tokenizer = open_clip.SimpleTokenizer(context_length=20)
    model = built(kind)
    assert compare(model, tokenizer, TEXTS) == [3, 6, 14, 20]
    assert compare(model, tokenizer, TEXTS[:2]) == [3, 6]
    assert compare(model, tokenizer, ["!!", ""]) == [3, 2]  # "!" is token 0, which pads as well
    assert getattr(model, "text", model).attn_mask.shape == (20, 20)  # as before


def test_the_shipped_tower_with_its_own_end_token() -> None:
    teacher = clip.ClipTeacher({"model": "vlkd-scenes", "weights": "asset:clip_scenes.safetensors", "device": "cpu"})
    assert compare(teacher.model, teacher.tokenizer, ["red", "a red star below the cover"]) == [2, 7]


class EndPads:
    """A tokenizer that fills texts up with their end token, 5."""

    class tokenizer:
        pad_token_id = 5

    def __call__(self, texts: list[str]) -> torch.Tensor:
        return torch.tensor([(list(range(6, 6 + len(text.split()))) + [5] * 20)[:20] for text in texts])


def test_an_end_token_that_pads_is_kept_once() -> None:
    assert compare(built(CLIP, pool_type="eos", eos_id=5), EndPads(), ["a", "a b c"]) == [2, 4]


@pytest.mark.parametrize("text", [{"no_causal_mask": True, "pool_type": "last"}, {"pool_type": "last"}])
def test_a_tower_that_reads_its_padding_keeps_all_positions(text: dict[str, Any]) -> None:
    assert compare(built(CUSTOM, **text), open_clip.SimpleTokenizer(context_length=20), TEXTS[:2]) == [20, 20]


def test_a_masked_tower_of_transformers(tmp_path: Path) -> None:
    words = "[PAD] [UNK] [CLS] [SEP] [MASK] what is it red".split()  # noqa: SIM905
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    BertTokenizerFast(vocab=str(tmp_path / "vocab.txt")).save_pretrained(tmp_path)
    BertConfig(
        vocab_size=len(words), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=20,
    ).save_pretrained(tmp_path)  # fmt: skip
    for pooler in ("mean_pooler", "cls_pooler"):
        text = {"hf_model_name": str(tmp_path), "hf_model_pretrained": False, "hf_pooler_type": pooler}
        model = built(CUSTOM, hf_tokenizer_name=str(tmp_path), hf_proj_type="linear", **text)
        tokenizer = open_clip.tokenizer.HFTokenizer(str(tmp_path), context_length=20)
        assert compare(model, tokenizer, ["red", "what is it"]) == [3, 5]


def test_a_class_token_at_the_end_is_refused() -> None:
    with pytest.raises(UserError, match="CoCa"):
        TextTower(built(CUSTOM, embed_cls=True))


class LongestCosts:
    """A teacher that notes the lengths of its batches; features are the texts' lengths."""

    kinds = ("text",)
    dim = 1

    def __init__(self) -> None:
        self.identity: dict[str, Any] = {}
        self.batches: list[list[int]] = []

    def text_lengths(self, texts: list[str]) -> list[int]:
        return [len(text) for text in texts]

    def embed_texts(self, texts: list[str]) -> tuple[np.ndarray, list[Any]]:
        self.batches.append(self.text_lengths(texts))
        rows = np.array(self.batches[-1], np.float32)[:, None]
        return rows, [(text.split(), np.full((2, 1), len(text), np.float32)) for text in texts]


def test_extraction_batches_texts_by_length_within_a_shard_and_stores_them_by_string(tmp_path: Path) -> None:
    texts = sorted("d" * (13 * number % 9 + 1) + f" {number}" for number in range(12))
    rows = pl.DataFrame({"image_id": ["i"] * 12, "image_path": ["p"] * 12, "text": texts})
    settings, teacher = {"shard_size": 6, "batch_size": 2}, LongestCosts()
    store = extraction.extract(teacher, rows, tmp_path / "one", settings, "test")
    for shard in (texts[:6], texts[6:]):
        assert [length for batch in teacher.batches[:3] for length in batch] == sorted(map(len, shard))
        del teacher.batches[:3]
    np.testing.assert_array_equal(store.texts(texts)[:, 0], [len(text) for text in texts])
    for text in texts:
        words, states = store.word_states(text)
        assert (words, states[:, 0].tolist()) == (text.split(), [len(text)] * 2)
    assert store.manifest["key_parts"]["texts"] == "by length"
    for number in range(2):
        extraction.extract(LongestCosts(), rows, tmp_path / "two", settings, "test", part=(1 - number, 2))
    extraction.extract(LongestCosts(), rows, tmp_path / "two", settings, "test")
    shards = [sorted(path.read_bytes() for path in (tmp_path / name).rglob("*.npy")) for name in ("one", "two")]
    assert shards[0] == shards[1]


def test_bf16_is_close_and_in_the_identity_and_fp32_is_not() -> None:
    conf = {"model": "vlkd-scenes", "weights": "asset:clip_scenes.safetensors", "device": "cpu"}
    plain, fp32, bf16 = (clip.load(conf | more) for more in ({}, {"precision": "fp32"}, {"precision": "bf16"}))
    assert plain.identity == fp32.identity
    assert bf16.identity == fp32.identity | {"precision": "bf16"}
    (exact, _), (near, near_states) = (made.embed_texts(["a red star"]) for made in (fp32, bf16))
    assert near.dtype == near_states[0][1].dtype == np.float32
    assert 1e-6 < np.abs(near - exact).max() < 0.05 * np.abs(exact).max()
    image = [torch.zeros(3, 48, 48)]
    away = np.abs(bf16.embed_images(image) - fp32.embed_images(image)).max()
    assert 1e-6 < away < 0.05 * np.abs(fp32.embed_images(image)).max()
