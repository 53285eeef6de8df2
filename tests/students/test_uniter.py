"""UNITER against transformers' BERT and against the official formulas written out by hand."""

import math
from typing import Any

import pytest
import torch
import toy_regions
from torch import Tensor
from torch.nn.functional import layer_norm
from transformers import BertConfig, BertModel

from vlkd_steps.core.errors import UserError
from vlkd_steps.data.inputs import Inputs, Regions
from vlkd_steps.students import uniter
from vlkd_steps.students.uniter_model import UniterConfig, UniterModel

TINY = {"vocab_size": 40, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}


@pytest.fixture
def conf(tmp_path: Any) -> dict[str, Any]:
    return toy_regions.uniter(tmp_path)


@pytest.fixture
def student(conf: dict[str, Any]) -> uniter.UniterStudent:
    return uniter.build(conf, "vqa", ["no", "yes", "red"], seed=3).eval()


def test_text_alone_is_transformers_bert_of_the_same_weights() -> None:
    torch.manual_seed(0)
    bert = BertModel(BertConfig(**TINY, type_vocab_size=2, initializer_range=0.3)).eval()
    model = UniterModel(UniterConfig.of(TINY)).eval()
    assert not model.load_state_dict(bert.state_dict(), strict=False).unexpected_keys
    tokens, types = torch.randint(1, 40, (3, 7)), torch.randint(0, 2, (3, 7))
    mask = torch.ones_like(tokens)
    mask[1, 4:] = 0
    theirs = bert(tokens, attention_mask=mask, token_type_ids=types)
    embedded, states = model(tokens, types, mask)
    torch.testing.assert_close(states[mask == 1], theirs.last_hidden_state[mask == 1], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(model.pooler(states), theirs.pooler_output, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(embedded, bert.embeddings(tokens, token_type_ids=types), atol=1e-6, rtol=1e-5)


def by_hand(model: UniterModel, tokens: Tensor, types: Tensor, features: Tensor, places: Tensor) -> Tensor:
    """One text with its regions, packed without padding as the official code does it, by plain formulas: [L, H]."""
    w = {name: tensor.detach() for name, tensor in model.state_dict().items()}
    config = model.config

    def norm(x: Tensor, name: str) -> Tensor:
        return layer_norm(x, x.shape[-1:], w[f"{name}.weight"], w[f"{name}.bias"], 1e-12)

    def dense(x: Tensor, name: str) -> Tensor:
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    text = w["embeddings.word_embeddings.weight"][tokens]
    text = text + w["embeddings.position_embeddings.weight"][: len(tokens)]
    text = norm(text + w["embeddings.token_type_embeddings.weight"][types], "embeddings.LayerNorm")
    seen = norm(dense(features, "img_embeddings.img_linear"), "img_embeddings.img_layer_norm")
    placed = norm(dense(places, "img_embeddings.pos_linear"), "img_embeddings.pos_layer_norm")
    regions = norm(seen + placed + w["embeddings.token_type_embeddings.weight"][1], "img_embeddings.LayerNorm")
    x = torch.cat([text, regions])
    size = config.hidden_size // config.num_attention_heads
    for number in range(config.num_hidden_layers):
        layer = f"encoder.layer.{number}"
        q, k, v = (dense(x, f"{layer}.attention.self.{part}") for part in ("query", "key", "value"))
        heads = []
        for head in range(config.num_attention_heads):
            part = slice(head * size, (head + 1) * size)
            scores = (q[:, part] @ k[:, part].T / math.sqrt(size)).softmax(-1)
            heads.append(scores @ v[:, part])
        x = norm(
            dense(torch.cat(heads, 1), f"{layer}.attention.output.dense") + x, f"{layer}.attention.output.LayerNorm"
        )
        inner = dense(x, f"{layer}.intermediate.dense")
        inner = inner * 0.5 * (1.0 + torch.erf(inner / math.sqrt(2.0)))
        x = norm(dense(inner, f"{layer}.output.dense") + x, f"{layer}.output.LayerNorm")
    return x


def test_text_and_regions_are_the_official_formulas(student: uniter.UniterStudent) -> None:
    shown = toy_regions.inputs()
    output = student(shown)
    assert shown.regions is not None
    for row, (words, regions) in enumerate(((6, 3), (4, 2))):
        expected = by_hand(
            student.uniter,
            shown.tokens[row, :words],
            shown.types[row, :words],
            shown.regions.features[row, :regions],
            shown.regions.locations[row, :regions],
        )
        torch.testing.assert_close(output.text[row, :words], expected[:words], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(output.visual[row, :regions], expected[words:], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(output.cls[row], expected[0], atol=1e-5, rtol=1e-4)


def test_output_of_both_shapes_and_what_is_visible(student: uniter.UniterStudent) -> None:
    shown = toy_regions.inputs()
    output = student(shown)
    assert output.visual.shape == (2, 3, 16)
    assert output.visible is not None
    assert output.visible.tolist() == [[1, 1, 1], [1, 1, 0]]
    torch.testing.assert_close(output.seen[1], output.visual[1, :2].mean(0))
    entered: dict[str, Tensor] = {}
    student.uniter.encoder.layer[0].register_forward_pre_hook(lambda _, given: entered.update(states=given[0]))
    assert torch.equal(student(shown).embedded_text, entered["states"][:, :6])


def test_a_masked_region_gets_the_mask_vector_and_row_0_counts_as_zero(student: uniter.UniterStudent) -> None:
    embeddings = student.uniter.img_embeddings
    features, places = torch.randn(1, 2, toy_regions.DIM), torch.rand(1, 2, 7)
    kind, masked = torch.zeros(16), torch.tensor([[1, 0]])
    plain, changed = embeddings(features, places, kind), embeddings(features, places, kind, masked)
    torch.testing.assert_close(plain[0, 1], changed[0, 1])
    moved = features + torch.stack([embeddings.mask_embedding.weight[1], torch.zeros(toy_regions.DIM)])
    torch.testing.assert_close(changed, embeddings(moved, places, kind))


def test_the_padding_words_vector_is_not_zero_but_where_vectors_are_spread(conf: dict[str, Any]) -> None:
    words = uniter.build(conf, "vqa", ["a"], seed=3).uniter.embeddings.word_embeddings.weight
    assert words[0].abs().sum() > 0
    spread = uniter.build(conf | {"spread": {"words": 2.0}}, "vqa", ["a"], seed=3)
    weights = spread.uniter.embeddings.word_embeddings.weight
    assert 1.7 < weights[1:].std() < 2.3
    assert weights[0].abs().sum() == 0


def test_vcr_has_four_types_tags_as_words_and_a_row_per_choice(conf: dict[str, Any]) -> None:
    student = uniter.build(conf, "vcr", ["0", "1", "2", "3"], seed=3).eval()
    embeddings = student.uniter.embeddings
    assert embeddings.token_type_embeddings.num_embeddings == 4
    known = len(uniter.build(conf, "vqa", ["a"], seed=3).tokenizer)
    assert embeddings.word_embeddings.num_embeddings == known + 81
    ids = student.tokenizer("is person 2 red because person 10").input_ids
    assert ids[2] == known + 1  # the second object's tag, person_1 in the official preparation
    assert ids[5] == known + 9
    shown = toy_regions.inputs(rows=8, types=True)
    assert student(shown).logits.shape == (2, 4, 2)
    other = Inputs(shown.tokens, shown.mask, torch.zeros_like(shown.types), regions=shown.regions)
    assert not torch.allclose(student(shown).logits, student(other).logits)


def test_kept_and_loaded_again(student: uniter.UniterStudent, conf: dict[str, Any], tmp_path: Any) -> None:
    uniter.save(student, tmp_path / "a.safetensors")
    again = uniter.load(tmp_path / "a.safetensors")
    shown = toy_regions.inputs()
    assert torch.equal(again(shown).logits, student(shown).logits)
    assert (again.regions, again.region_width, again.sees, again.task) == ("boxes_toy", 6, "regions", "vqa")
    uniter.save(uniter.build(conf, "vqa", ["no", "yes", "red"], seed=3), tmp_path / "b.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    vcr = uniter.build(conf, "vcr", ["0", "1", "2", "3"], seed=3)
    uniter.save(vcr, tmp_path / "vcr.safetensors")
    kept = uniter.load(tmp_path / "vcr.safetensors").tokenizer
    assert kept("person 2").input_ids == vcr.tokenizer("person 2").input_ids


def test_a_plugged_in_teachers_patches_replace_regions(conf: dict[str, Any], tmp_path: Any) -> None:
    student = uniter.build(conf | {"visual_width": 10}, "vqa", ["no", "yes"], seed=3).eval()
    own = uniter.build(conf, "vqa", ["no", "yes"], seed=3).state_dict()
    new = {name for name, value in student.state_dict().items() if not torch.equal(value, own[name])}
    read = "uniter.img_embeddings"
    assert new == {f"{read}.img_linear.weight", f"{read}.mask_embedding.weight"}  # the rest starts alike
    shown = toy_regions.inputs(width=10)
    uniter.save(student, tmp_path / "a.safetensors")
    again = uniter.load(tmp_path / "a.safetensors")
    assert torch.equal(again(shown).logits, student(shown).logits)
    assert again.region_width == 10


def test_every_parameter_that_trains_gets_a_gradient_with_checkpointing_too(conf: dict[str, Any]) -> None:
    gradients = []
    for again in (False, True):
        student = uniter.build(conf, "vqa", ["a", "b"], seed=3).train()
        for module in student.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        for layer in student.uniter.encoder.layer:
            layer.attention.self.rate = 0.0
        if again:
            student.checkpointing()
        student(toy_regions.inputs()).logits.sum().backward()
        trained = {name: p.grad for name, p in student.named_parameters() if p.requires_grad}
        assert all(grad is not None for grad in trained.values())
        assert "uniter.img_embeddings.mask_embedding.weight" not in trained
        gradients.append(trained)
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradient, gradients[1][name], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"regions": None}, "student uniter_toy reads regions, but its configuration names none; set regions:"),
        ({"architecture": {"hiden_size": 16}}, "architecture: it has no key 'hiden_size'; its keys are"),
        ({"architecture": {"hidden_size": 18}}, "hidden_size 18 is no multiple of 12 heads"),
        ({"vocabulary": None}, "a student from scratch needs vocabulary"),
        ({"vocabulary": "nowhere.txt"}, "vocabulary: cannot read nowhere.txt"),
    ],
)
def test_mistakes_are_named(conf: dict[str, Any], changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as error:
        uniter.build(conf | changes, "vqa", ["a"], seed=0)
    assert message in str(error.value)


def test_the_order_of_regions_is_kept(student: uniter.UniterStudent) -> None:
    shown = toy_regions.inputs()
    regions = shown.regions
    assert regions is not None
    turned = Regions(regions.features.flip(1), regions.locations.flip(1), regions.mask.flip(1))
    output = student(Inputs(shown.tokens, shown.mask, shown.types, regions=turned))
    torch.testing.assert_close(output.visual[0].flip(0), student(shown).visual[0], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(output.logits, student(shown).logits, atol=1e-5, rtol=1e-4)
