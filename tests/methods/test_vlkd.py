import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch.nn import functional

from vlkd_steps.core.errors import UserError
from vlkd_steps.data.batches import Batch
from vlkd_steps.data.inputs import Inputs
from vlkd_steps.methods import objective
from vlkd_steps.methods.vlkd import objective as vlkd
from vlkd_steps.students import bart

SETTINGS: dict[str, Any] = yaml.safe_load(Path("vlkd_steps/conf/method/vlkd.yaml").read_text(encoding="utf-8"))
E = torch.tensor([[1.0, 0.0], [0.6, 0.8]])
T = torch.tensor([[0.0, 1.0], [0.6, 0.8]])
V = torch.tensor([[0.8, 0.6], [0.0, 1.0]])
CONF = {
    "name": "tiny",
    "architecture": {
        "d_model": 16,
        "encoder_layers": 1,
        "decoder_layers": 1,
        "encoder_attention_heads": 2,
        "decoder_attention_heads": 2,
        "encoder_ffn_dim": 32,
        "decoder_ffn_dim": 32,
        "max_position_embeddings": 16,
        "dropout": 0.0,
    },
}


def batch_of(extra: dict[str, torch.Tensor], tokens: torch.Tensor, images: list[int], texts: list[int]) -> Batch:
    mask = (tokens != 0).long()
    return Batch(
        Inputs(tokens, mask, torch.zeros_like(tokens)),
        torch.zeros(len(tokens), 0),
        torch.tensor(images),
        torch.tensor(texts),
        extra=extra,
    )


@pytest.fixture
def model(tmp_path: Path) -> vlkd.Alignment:
    words = tmp_path / "words.txt"
    words.write_text("a red star and blue")
    student = bart.build(CONF | {"vocabulary": str(words)}, 2, seed=1)
    method = objective.create(SETTINGS, steps=10)
    assert isinstance(method, vlkd.Vlkd)
    method.take_temperature(2.0)
    return vlkd.Alignment(student, method)


@pytest.fixture
def batch() -> Batch:
    tokens = torch.tensor([[2, 10, 11, 12, 3], [2, 13, 3, 0, 0]])
    masked = torch.tensor([[2, 4, 12, 3], [2, 4, 3, 0]])
    extra = {"v": V, "t": T, "masked": masked, "masked_mask": (masked != 0).long(), "written": torch.full((2,), 8.0)}
    return batch_of(extra, tokens, [0, 1], [0, 1])


def test_ttdm_by_hand() -> None:
    assert vlkd.ttdm(E, T).item() == pytest.approx((2.0 + 0.0) / 2)
    assert vlkd.ttdm(E, -E).item() == pytest.approx(4.0)


def test_itcl_by_hand() -> None:
    # cosines of e with v: [[.8, 0], [.96, .8]], times 2
    rows = [math.log(1 + math.exp(0.0 - 1.6)), math.log(1 + math.exp(1.92 - 1.6))]
    columns = [math.log(1 + math.exp(1.92 - 1.6)), math.log(1 + math.exp(0.0 - 1.6))]
    assert vlkd.itcl(E, V, 2.0).item() == pytest.approx((np.mean(rows) + np.mean(columns)) / 2)


def test_itcl_leaves_out_pairs_that_are_alike(batch: Batch) -> None:
    same = vlkd.same_pairs(batch_of({}, batch.inputs.tokens, [5, 5], [0, 1]))
    assert same.tolist() == [[False, True], [True, False]]
    assert vlkd.itcl(E, V, 2.0, same).item() == pytest.approx(0.0)
    assert not vlkd.same_pairs(batch).any()


def test_icti_by_hand() -> None:
    logits = torch.log(torch.tensor([[[0.5, 0.25, 0.25], [0.1, 0.2, 0.7]], [[0.3, 0.3, 0.4], [1 / 3, 1 / 3, 1 / 3]]]))
    target, mask = torch.tensor([[0, 2], [2, 0]]), torch.tensor([[1, 1], [1, 0]])
    expected = -(math.log(0.5) + math.log(0.7) + math.log(0.4)) / 3
    assert bart.infilling_loss(logits, target, mask).item() == pytest.approx(expected)
    # two processes with a row each: their mean is the loss of one process
    written = torch.full((1,), 3 / 2)
    parts = [bart.infilling_loss(logits[i : i + 1], target[i : i + 1], mask[i : i + 1], written) for i in (0, 1)]
    assert (parts[0] + parts[1]).item() / 2 == pytest.approx(expected)


def test_the_losses_are_those_of_the_passes(model: vlkd.Alignment, batch: Batch) -> None:
    losses = model(batch, 0)
    assert list(losses) == ["ttdm", "itcl", "icti"]
    student = model.student
    tokens, mask = batch.inputs.tokens, batch.inputs.mask
    e = student.embed(student.encode(tokens, mask), mask)
    assert losses["ttdm"].item() == pytest.approx(vlkd.ttdm(e, T).item(), rel=1e-5)
    assert losses["itcl"].item() == pytest.approx(vlkd.itcl(e, V, 2.0).item(), rel=1e-5)
    memory, seen = student.see(V, student.encode(batch.extra["masked"], batch.extra["masked_mask"]), mask[:, :4])
    seen[:, 1:] = batch.extra["masked_mask"]
    expected = functional.cross_entropy(student.write(memory, seen, tokens)[mask.bool()], tokens[mask.bool()])
    assert losses["icti"].item() == pytest.approx(expected.item(), rel=1e-5)


def test_rehearsal_is_the_loss_of_texts_without_an_image(model: vlkd.Alignment, batch: Batch) -> None:
    assert model.objective.weights["rehearsal"] == 0  # by default
    rehearsed = objective.create(SETTINGS | {"rehearsal": 0.5}, steps=10)
    rehearsed.take_temperature(2.0)
    text = torch.tensor([[2, 10, 11, 3], [2, 13, 3, 0]])
    scored = torch.tensor([[0, 0, 1, 1], [0, 1, 1, 0]])
    read = torch.tensor([[2, 10, 4, 3], [2, 4, 3, 0]])
    extra = {"text": text, "text_scored": scored, "text_read": read, "text_read_mask": (read != 0).long()}
    batch.extra.update(extra, text_total=torch.full((2,), 4.0))
    losses = vlkd.Alignment(model.student, rehearsed)(batch, 0)
    assert list(losses) == ["ttdm", "itcl", "icti", "rehearsal"]
    logits = model.student.write(model.student.encode(read, extra["text_read_mask"]), extra["text_read_mask"], text)
    expected = functional.cross_entropy(logits[scored.bool()], text[scored.bool()])
    assert losses["rehearsal"].item() == pytest.approx(0.5 * expected.item(), rel=1e-5)


@pytest.mark.parametrize("left_out", ["ttdm", "itcl", "icti"])
def test_a_weight_of_zero_leaves_a_loss_out(model: vlkd.Alignment, batch: Batch, left_out: str) -> None:
    whole = model(batch, 0)
    rest = objective.create(SETTINGS | {left_out: 0, "itcl" if left_out == "ttdm" else "ttdm": 2}, steps=10)
    rest.take_temperature(2.0)
    losses = vlkd.Alignment(model.student, rest)(batch, 0)
    assert set(losses) == {"ttdm", "itcl", "icti"} - {left_out}
    for name, loss in losses.items():
        factor = 2 if rest.weights[name] == 2 else 1
        assert loss.item() == pytest.approx(factor * whole[name].item(), rel=1e-5)
    if left_out == "icti":  # its pass is left out too
        sum(losses.values()).backward()
        assert model.student.from_clip.weight.grad is None
        assert model.student.bart.model.decoder.layers[0].fc1.weight.grad is None


def test_each_loss_teaches_what_it_should(model: vlkd.Alignment, batch: Batch) -> None:
    student = model.student
    losses = model(batch, 0)
    for name, learns, not_this in (
        ("ttdm", student.to_clip, student.from_clip),
        ("itcl", student.to_clip, student.from_clip),
        ("icti", student.from_clip, student.to_clip),
    ):
        student.zero_grad()
        losses[name].backward(retain_graph=True)
        assert learns.weight.grad is not None
        assert learns.weight.grad.abs().sum() > 0
        assert not_this.weight.grad is None or not_this.weight.grad.abs().sum() == 0
        assert student.bart.model.shared.weight.grad.abs().sum() > 0  # BART learns from each
        student.zero_grad(set_to_none=True)
    assert not any(list(model.objective.parameters()))  # the temperature is CLIP's and not trained


def test_settings_are_checked() -> None:
    for change, message in (
        ({"tdm": 1}, "unknown key 'tdm' .*; did you mean 'ttdm'"),
        ({"itcl": -1}, "itcl is -1; write a number, 0 or more"),
        ({"negatives": "none"}, "negatives is 'none'; choose from: all, distinct"),
    ):
        with pytest.raises(UserError, match=message):
            objective.create(SETTINGS | change, steps=10)
    assert not objective.create(SETTINGS | {"ttdm": 0, "itcl": 0, "icti": 0}, steps=10).learns
    with pytest.raises(UserError, match=r"mask_share is 1\.5"):
        objective.create(SETTINGS | {"mask_share": 1.5}, steps=10)
