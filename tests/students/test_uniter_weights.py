"""Official checkpoints by their own names: the list of names, both file formats, VCR's larger tables, mistakes."""

from pathlib import Path
from typing import Any

import pytest
import torch
import toy_regions
from safetensors.torch import load_file, save_file
from tokenizers import AddedToken
from torch import Tensor

from vlkd_steps.core.errors import UserError
from vlkd_steps.data import tokenizer as text
from vlkd_steps.students import exported, uniter, uniter_weights
from vlkd_steps.students.uniter_model import UniterConfig, UniterModel

LAYER = [
    *(f"attention.self.{part}.{kind}" for part in ("query", "key", "value") for kind in ("weight", "bias")),
    *(
        f"{part}.{kind}"
        for part in ("attention.output.dense", "attention.output.LayerNorm")
        for kind in ("weight", "bias")
    ),
    *(
        f"{part}.{kind}"
        for part in ("intermediate.dense", "output.dense", "output.LayerNorm")
        for kind in ("weight", "bias")
    ),
]
OFFICIAL = {
    "embeddings.word_embeddings.weight",
    "embeddings.position_embeddings.weight",
    "embeddings.token_type_embeddings.weight",
    "embeddings.LayerNorm.weight",
    "embeddings.LayerNorm.bias",
    "img_embeddings.mask_embedding.weight",
    *(
        f"img_embeddings.{part}.{kind}"
        for part in ("img_linear", "img_layer_norm", "pos_layer_norm", "pos_linear", "LayerNorm")
        for kind in ("weight", "bias")
    ),
    *(f"encoder.layer.{number}.{name}" for number in range(12) for name in LAYER),
    "pooler.dense.weight",
    "pooler.dense.bias",
}
"""Of `UniterModel` in ChenRocks/UNITER, model/model.py and model/layer.py, with the base configuration."""


@pytest.mark.parametrize(
    ("keys", "parameters"),
    [
        ({}, 109_898_752),  # 108,310,272 of BERT-base, cased, and 1,588,480 of the regions
        (
            {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096},
            335_695_872,
        ),
    ],
)
def test_names_and_numbers_of_the_official_sizes(keys: dict[str, int], parameters: int) -> None:
    with torch.device("meta"):
        model = UniterModel(UniterConfig.of(keys))
    if not keys:
        assert set(model.state_dict()) == OFFICIAL
        assert len(OFFICIAL) == 210
    assert sum(p.numel() for p in model.parameters()) == parameters


@pytest.fixture
def conf(tmp_path: Path) -> dict[str, Any]:
    """A configuration with an official file of a tiny UNITER, and a tokenizer in a folder."""
    conf = toy_regions.uniter(tmp_path)
    text.word_tokenizer(toy_regions.WORDS.split()).save_pretrained(tmp_path / "tokenizer")
    return {
        "name": "uniter_toy",
        "regions": "boxes_toy",
        "weights": str(tmp_path / "uniter-toy.pt"),
        "tokenizer": str(tmp_path / "tokenizer"),
        "architecture": {"num_attention_heads": 2, "hidden_dropout_prob": 0.0},
        "scratch": conf,
    }


def official(conf: dict[str, Any], **more: Tensor) -> dict[str, Tensor]:
    """What a checkpoint of the pre-training holds: the model as ``uniter.*``, and heads that nobody needs."""
    built = uniter.build(conf["scratch"], "vqa", ["a", "b"], seed=7)
    tensors = uniter_weights.official_names(built, "vqa")
    tensors["cls.predictions.bias"] = torch.zeros(len(built.tokenizer))
    tensors["itm_output.weight"] = torch.zeros(2, 16)
    return tensors | more


@pytest.mark.parametrize("form", ["zip", "legacy", "safetensors", "model_state", "module and gamma"])
def test_an_official_file_in_any_form_gives_the_same_student(conf: dict[str, Any], form: str, tmp_path: Path) -> None:
    tensors: Any = official(conf)
    if form == "model_state":
        tensors = {"model_state": tensors, "step": 3}
    if form == "module and gamma":
        old = {name.replace("LayerNorm.weight", "LayerNorm.gamma"): t for name, t in tensors.items()}
        tensors = {f"module.{name.replace('LayerNorm.bias', 'LayerNorm.beta')}": t.half() for name, t in old.items()}
    if form == "safetensors":
        conf["weights"] = str(tmp_path / "uniter-toy.safetensors")
        save_file(tensors, conf["weights"])
    else:
        torch.save(tensors, conf["weights"], _use_new_zipfile_serialization=form != "legacy")
    student = uniter.build(conf, "vqa", ["x", "y", "z"], seed=1).eval()
    assert student.uniter.config.num_hidden_layers == 2
    assert student.region_width == toy_regions.DIM
    own = uniter.build(conf["scratch"], "vqa", ["a", "b"], seed=7).eval()
    shown = toy_regions.inputs()
    tolerance = 2e-2 if form == "module and gamma" else 0.0
    torch.testing.assert_close(student(shown).pooled, own(shown).pooled, atol=tolerance, rtol=0)
    assert student(shown).logits.shape == (2, 3)


def test_the_official_head_is_loaded_where_configured(conf: dict[str, Any]) -> None:
    torch.save(official(conf), conf["weights"])
    shown = toy_regions.inputs()
    own = uniter.build(conf["scratch"], "vqa", ["a", "b"], seed=7).eval()
    taken = uniter.build(conf | {"head": "official"}, "vqa", ["a", "b"], seed=1).eval()
    assert torch.equal(taken(shown).logits, own(shown).logits)
    with pytest.raises(UserError, match=r"vqa_output\.3\.weight has shape \[2, 32\], not \[3, 32\]; set head: new"):
        uniter.build(conf | {"head": "official"}, "entailment", ["a", "b", "c"], seed=1)
    with pytest.raises(UserError, match=r"vcr_output\.0\.weight is missing"):
        uniter.build(conf | {"head": "official"}, "vcr", ["0", "1", "2", "3"], seed=1)


def test_for_vcr_types_and_words_are_added_once(conf: dict[str, Any], tmp_path: Path) -> None:
    tensors = official(conf)
    torch.save(tensors, conf["weights"])
    student = uniter.build(conf, "vcr", ["0", "1", "2", "3"], seed=1)
    types = student.uniter.embeddings.token_type_embeddings.weight
    words = student.uniter.embeddings.word_embeddings.weight
    known = tensors[uniter_weights.WORDS]
    assert len(words) == len(known) + 81
    assert torch.equal(words[: len(known)], known)
    assert torch.equal(types[:2], tensors[uniter_weights.TYPES])
    assert torch.equal(types[2], types[0])
    assert torch.equal(types[3], types[0])
    second_stage = uniter_weights.official_names(student, "vcr")
    torch.save(second_stage, tmp_path / "second.pt")
    again = uniter.build(conf | {"weights": str(tmp_path / "second.pt")}, "vcr", ["0", "1", "2", "3"], seed=2)
    assert torch.equal(again.uniter.embeddings.word_embeddings.weight, words)
    assert torch.equal(again.uniter.embeddings.token_type_embeddings.weight, types)


def test_a_checkpoint_is_converted_once(
    conf: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tensors = official(conf)
    tensors["cls.predictions.decoder.weight"] = tensors[uniter_weights.WORDS]  # tied, as in the official file
    torch.save(tensors, conf["weights"])
    out = tmp_path / "out.safetensors"
    assert uniter_weights.main([conf["weights"], str(out)]) == 0
    assert set(load_file(out)) == set(tensors)
    assert uniter_weights.main(["nothing.pt", str(out)]) == 2
    assert "error: the weights nothing.pt are missing; fetch an official file" in capsys.readouterr().err


def test_a_run_is_exported_under_official_names(conf: dict[str, Any], tmp_path: Path) -> None:
    built = uniter.build(conf["scratch"], "entailment", ["contradiction", "entailment", "neutral"], seed=7)
    uniter.export(built, tmp_path / "out")
    uniter.save(built, tmp_path / "model.safetensors")
    exported.describe("uniter", tmp_path / "model.safetensors", tmp_path / "out")
    again = exported.load(tmp_path / "out").state_dict()
    assert all(torch.equal(again[name], value) for name, value in built.state_dict().items())
    names = set(load_file(tmp_path / "out/model.safetensors"))
    assert {"vqa_output.0.weight", "vqa_output.3.bias", "uniter.encoder.layer.1.output.dense.weight"} <= names
    assert not any(name.startswith("head.") for name in names)


class Bad:
    """Anything that is no tensor."""


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "are missing; fetch an official file"),
        (lambda path: path.write_bytes(b"no checkpoint"), "are damaged or hold more than tensors"),
        (lambda path: path.write_bytes(b""), "; fetch the file again"),
        (lambda path: torch.save({"bert.embeddings.word_embeddings.weight": torch.zeros(2, 2)}, path), "are not a UN"),
        (lambda path: torch.save([1, 2], path), "are not a UNITER's"),
        (lambda path: torch.save({"model": Bad()}, path), "hold more than tensors"),
    ],
)
def test_a_bad_file_is_named(conf: dict[str, Any], make: Any, message: str) -> None:
    make(Path(conf["weights"]))
    with pytest.raises(UserError) as error:
        uniter.build(conf, "vqa", ["a"], seed=0)
    assert message in str(error.value)
    assert conf["weights"] in str(error.value)


def test_parts_that_do_not_fit_are_named(conf: dict[str, Any], tmp_path: Path) -> None:
    tensors = official(conf)
    del tensors["uniter.pooler.dense.bias"]
    torch.save(tensors, conf["weights"])
    with pytest.raises(UserError, match=r"uniter\.pooler\.dense\.bias is missing; give a complete checkpoint"):
        uniter.build(conf, "vqa", ["a"], seed=0)
    larger = text.word_tokenizer(toy_regions.WORDS.split())
    larger.add_tokens([AddedToken("extra")])
    larger.save_pretrained(tmp_path / "larger")
    torch.save(official(conf), conf["weights"])
    with pytest.raises(UserError, match=r"its tokenizer has .* words and .* vectors for"):
        uniter.build(conf | {"tokenizer": str(tmp_path / "larger")}, "vqa", ["a"], seed=0)
    with pytest.raises(UserError, match=r"tokenizer: '.*nowhere' cannot be loaded"):
        uniter.build(conf | {"tokenizer": str(tmp_path / "nowhere")}, "vqa", ["a"], seed=0)
    with pytest.raises(UserError, match="head is 'own'; write new or official"):
        uniter.build(conf | {"head": "own"}, "vqa", ["a"], seed=0)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("uniter.pooler.dense.bias", torch.full((16,), torch.nan), r"not finite numbers, first in uniter\.pooler"),
        ("uniter.encoder.extra.weight", torch.zeros(2), r"no tensor uniter\.encoder\.extra\.weight"),
        ("uniter.pooler.dense.bias", torch.ones(16, dtype=torch.int8), r"pooler\.dense\.bias not as floating-point"),
    ],
)
def test_weights_that_are_not_numbers_or_of_more_than_the_model(
    conf: dict[str, Any], name: str, value: Tensor, message: str
) -> None:
    torch.save(official(conf, **{name: value}), conf["weights"])
    with pytest.raises(UserError, match=message):
        uniter.build(conf, "vqa", ["a"], seed=0)
