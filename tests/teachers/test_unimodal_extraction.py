"""Teachers of images alone and of texts alone through the real extraction step, and as a pair."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from sealed import seal
from transformers import BertConfig, BertModel, BertTokenizerFast

from vlkd_steps.core import layout
from vlkd_steps.core.errors import UserError
from vlkd_steps.steps import extract
from vlkd_steps.teachers.features.pair import TeacherPair, open_stores
from vlkd_steps.teachers.models import text, vision

QUESTIONS = ["is the star red?", "what color is it?"]


@pytest.fixture
def extracted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, Any]]:
    """The configurations of ``eyes`` (with patches, for all roles) and ``ears``, extracted for data set ``toy``."""
    monkeypatch.chdir(tmp_path)
    rows = []
    for number, split in enumerate(("train", "train", "held", "other")):
        Image.effect_noise((40, 40), 20 + 40 * number).convert("RGB").save(f"{number}.png")
        rows.append((split, f"i{number}", f"{number}.png", QUESTIONS[number % 2]))
    layout.instances("toy").parent.mkdir(parents=True)
    frame = pl.DataFrame(rows, schema=["split", "image_id", "image_path", "text"], orient="row").with_columns(
        instance_id=pl.lit("1"), choices=pl.lit([], pl.List(pl.String)), answer_type=pl.lit(""), extra=pl.lit("{}")
    )
    frame.write_parquet(layout.instances("toy"))
    seal()
    torch.manual_seed(0)
    save_file(timm.create_model("test_efficientnet").state_dict(), "eyes.safetensors")
    words = "[PAD] [UNK] [CLS] [SEP] [MASK] ? is the star red what color it".split()  # noqa: SIM905
    Path("vocab.txt").write_text("\n".join(words))
    BertTokenizerFast(vocab="vocab.txt").save_pretrained("ears")
    config = BertConfig(
        vocab_size=len(words), hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8
    )
    BertModel(config).save_pretrained("ears")
    eyes = {"name": "eyes", "kind": "vision", "model": "test_efficientnet", "weights": "eyes.safetensors"}
    teachers = {
        "eyes": eyes | {"image_size": 64, "patches": True, "splits": "used", "device": "cpu"},
        "ears": {"name": "ears", "kind": "text", "model": "ears", "device": "cpu"},
    }
    roles = {"train": {"split": "train"}, "test": {"split": "held"}}
    for teacher in teachers.values():
        dataset = {"name": "toy", "task": "vqa", "roles": roles}
        assert extract.main(["--config", json.dumps({"teacher": teacher, "dataset": dataset})]) == 0
    return teachers


def test_each_store_holds_what_its_teacher_reads_and_no_more(extracted: dict[str, dict[str, Any]]) -> None:
    eyes, ears = (open_stores({"name": name}, "toy") for name in ("eyes", "ears"))
    assert eyes.manifest["rows"] == {"image": 3, "patch": 3}  # of train and held, which a role uses; not of other
    assert set(ears.manifest["rows"]) == {"text", "word", "state", "count"}
    assert ears.manifest["rows"]["text"] == 2
    made = vision.load(extracted["eyes"])
    v, patches = made.embed_patches([made.load_image(Path(f"{number}.png")) for number in range(3)])
    np.testing.assert_allclose(eyes.images(["i0", "i1", "i2"]), v, atol=1e-5)
    np.testing.assert_allclose(eyes.patches(["i2", "i0"]), patches[[2, 0]], atol=1e-5)
    u, _ = text.load(extracted["ears"]).embed_texts(QUESTIONS)
    np.testing.assert_allclose(ears.texts(QUESTIONS), u, atol=1e-5)
    eyes.verify()
    ears.verify()


def test_two_stores_read_as_one(extracted: dict[str, dict[str, Any]]) -> None:
    config = {"name": "eyes+ears", "vision": {"name": "eyes"}, "text": {"name": "ears"}}
    pair = open_stores(config, "toy")
    assert isinstance(pair, TeacherPair)
    assert not pair.shared_space
    assert pair.images(["i1"]).shape[1] != pair.texts(QUESTIONS[:1]).shape[1]
    assert pair.patches(["i1"]).shape == (1, 4, pair.vision.patch_shape[1])
    assert pair.word_states(QUESTIONS[0])[0] == ["is", "the", "star", "red"]
    assert pair.words(["star"]).shape == (1, 8)


def test_a_teacher_in_the_wrong_role_is_named(extracted: dict[str, dict[str, Any]]) -> None:
    with pytest.raises(UserError, match=r"teacher\.vision is ears, whose features have no images: it reads texts only"):
        open_stores({"name": "x", "vision": {"name": "ears"}, "text": {"name": "ears"}}, "toy")
    with pytest.raises(UserError, match=r"have no texts: their teacher does not read them; .* teacher: \{vision: NAME"):
        open_stores({"name": "eyes"}, "toy").texts(QUESTIONS)
    with pytest.raises(UserError, match="have no patches; name a teacher whose configuration says `patches: true`"):
        open_stores({"name": "ears"}, "toy").patches(["i0"])
