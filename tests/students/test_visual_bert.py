import json
from typing import Any

import pytest
import torch
import toy_regions
from safetensors.torch import load_file, save_file
from transformers import VisualBertModel

from vlkd_steps.core.errors import UserError
from vlkd_steps.students import exported, visual_bert


@pytest.fixture
def conf(tmp_path: Any) -> dict[str, Any]:
    return toy_regions.visual_bert(tmp_path)


@pytest.fixture
def student(conf: dict[str, Any]) -> visual_bert.VisualBertStudent:
    return visual_bert.build(conf, "vqa", ["no", "yes", "red"], seed=3).eval()


def test_is_transformers_visual_bert(student: visual_bert.VisualBertStudent) -> None:
    shown = toy_regions.inputs()
    regions = shown.regions
    assert regions is not None
    theirs = student.visual_bert(
        input_ids=shown.tokens,
        attention_mask=shown.mask,
        token_type_ids=shown.types,
        visual_embeds=torch.cat([regions.features, regions.locations], dim=2),
        visual_attention_mask=regions.mask,
    )
    ours = student(shown)
    there = torch.cat([shown.mask, regions.mask], dim=1) == 1
    both = torch.cat([ours.text, ours.visual], dim=1)
    torch.testing.assert_close(both[there], theirs.last_hidden_state[there], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(ours.pooled, theirs.pooler_output, atol=1e-5, rtol=1e-4)
    assert ours.visible is regions.mask
    entered: dict[str, torch.Tensor] = {}
    first = student.visual_bert.encoder.layer[0]
    first.register_forward_pre_hook(lambda _, given: entered.update(states=given[0]))
    assert torch.equal(student(shown).embedded_text, entered["states"][:, :6])


def test_without_locations_only_features_are_read(conf: dict[str, Any]) -> None:
    conf["architecture"]["visual_embedding_dim"] = toy_regions.DIM
    student = visual_bert.build(conf | {"locations": False}, "vqa", ["a"], seed=3).eval()
    assert student.region_width == toy_regions.DIM
    assert student(toy_regions.inputs()).logits.shape == (2, 1)


def test_positions_and_words_are_spread(conf: dict[str, Any]) -> None:
    student = visual_bert.build(conf | {"spread": {"words": 2.0, "positions": 5.0}}, "vqa", ["a"], seed=3)
    embeddings: Any = student.visual_bert.embeddings
    assert embeddings.word_embeddings.weight[1:].std() > 1.5
    assert embeddings.visual_projection.weight[:, -7:].std() > 3
    assert embeddings.visual_projection.weight[:, :-7].std() < 1


def test_vcr_has_a_row_per_choice_and_types_beyond_an_authors_two_are_the_second(conf: dict[str, Any]) -> None:
    student = visual_bert.build(conf, "vcr", ["0", "1", "2", "3"], seed=3).eval()
    assert student.types == 4
    assert student(toy_regions.inputs(rows=8, types=True)).logits.shape == (2, 4, 2)
    two = visual_bert.build(conf, "vqa", ["a"], seed=3).eval()
    assert two.types == 2
    assert two(toy_regions.inputs(types=True)).logits.shape == (2, 1)


def test_kept_exported_and_loaded_again(student: visual_bert.VisualBertStudent, tmp_path: Any) -> None:
    shown = toy_regions.inputs()
    visual_bert.save(student, tmp_path / "model.safetensors")
    again = visual_bert.load(tmp_path / "model.safetensors")
    assert torch.equal(again(shown).logits, student(shown).logits)
    assert (again.regions, again.locations, again.region_width) == ("boxes_toy", True, toy_regions.DIM)
    visual_bert.export(student, tmp_path / "out")
    assert torch.equal(
        VisualBertModel.from_pretrained(tmp_path / "out").pooler.dense.weight, student.visual_bert.pooler.dense.weight
    )
    exported.describe("visual_bert", tmp_path / "model.safetensors", tmp_path / "out")
    assert torch.equal(exported.load(tmp_path / "out")(shown).logits, student(shown).logits)
    conf = {"name": "v", "regions": "boxes_toy", "weights": str(tmp_path / "out"), "locations": True}
    taken = visual_bert.build(conf, "vqa", ["a", "b"], seed=5).eval()
    torch.testing.assert_close(taken(shown).pooled, student(shown).pooled)


@pytest.mark.parametrize("locations", [True, False])
def test_a_plugged_in_teachers_patches_replace_regions(conf: dict[str, Any], tmp_path: Any, locations: bool) -> None:
    conf |= {"visual_width": 10, "locations": locations}
    student = visual_bert.build(conf, "vqa", ["no", "yes"], seed=3).eval()
    visual_bert.save(student, tmp_path / "a.safetensors")
    again = visual_bert.load(tmp_path / "a.safetensors")
    shown = toy_regions.inputs(width=10)
    assert torch.equal(again(shown).logits, student(shown).logits)
    assert again.region_width == 10


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"regions": ""}, "student visual_bert_toy reads regions, but its configuration names none"),
        ({"architecture": {"hiden_size": 16}}, "architecture has no key 'hiden_size'"),
        ({"architecture": {"hidden_size": 17}}, "transformers rejects its architecture"),
        ({"weights": "nowhere/at/all"}, "weights: 'nowhere/at/all' cannot be loaded"),
    ],
)
def test_mistakes_are_named(conf: dict[str, Any], changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as error:
        visual_bert.build(conf | changes, "vqa", ["a"], seed=0)
    assert message in str(error.value)


@pytest.mark.parametrize("kind", ["names", "no tokenizer", "a smaller tokenizer"])
def test_a_folder_that_gives_a_random_model_is_refused(
    student: visual_bert.VisualBertStudent, tmp_path: Any, kind: str
) -> None:
    visual_bert.export(student, tmp_path / "out")
    file, message = tmp_path / "out/model.safetensors", r"out/model\.safetensors .* is not there \(0 of \d+ tensors"
    if kind == "names":
        save_file({f"x.{n}": t for n, t in load_file(file).items()}, file, metadata={"format": "pt"})
    elif kind == "no tokenizer":
        (tmp_path / "out/tokenizer.json").unlink()
        message = "out holds no tokenizer"
    else:
        whole = load_file(file)
        words = "embeddings.word_embeddings.weight"
        save_file({**whole, words: whole[words][:9].clone()}, file, metadata={"format": "pt"})
        config = json.loads((tmp_path / "out/config.json").read_text())
        (tmp_path / "out/config.json").write_text(json.dumps(config | {"vocab_size": 9}))
        message = "numbers tokens up to .* and the model has vectors for 9"
    conf = {"name": "v", "regions": "boxes_toy", "weights": str(tmp_path / "out"), "locations": True}
    with pytest.raises(UserError, match=message):
        visual_bert.build(conf, "vqa", ["a", "b"], seed=5)
