import math
from pathlib import Path
from typing import Any

import pytest
import torch
import toy_regions
from torch import Tensor
from torch.nn import functional

from vlkd_steps.core import components, hardware
from vlkd_steps.data.inputs import Inputs
from vlkd_steps.students import attention

OWN = {fused: own for own, fused in attention.FUSED.items()}


def eager(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, rate: float) -> Tensor:
    assert rate == 0.0
    scores = query @ key.transpose(2, 3) / math.sqrt(query.shape[-1]) + mask
    return scores.softmax(-1) @ value


def outputs(student: Any, inputs: Inputs) -> dict[str, Tensor]:
    """Logits, states and gradients in fp32."""
    student.zero_grad()
    found = student(inputs)
    (found.logits.square().sum() + found.visual.square().mean() + found.text.square().mean()).backward()
    kept = {name: p.grad.clone() for name, p in student.named_parameters() if p.grad is not None}
    assert any("query" in name for name in kept)
    return {"logits": found.logits, "visual": found.visual, "text": found.text, **kept}


@pytest.fixture(params=["vilt", "uniter", "visual_bert"])
def seeing(request: pytest.FixtureRequest, conf: dict[str, Any], inputs: Inputs, tmp_path: Path) -> tuple[Any, Inputs]:
    """A student without dropout, and a batch with padding."""
    if request.param != "vilt":
        conf, inputs = getattr(toy_regions, request.param)(tmp_path), toy_regions.inputs()
    conf["architecture"] |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    return components.load("student", request.param).build(conf, "vqa", ["no", "yes", "red"], seed=3).train(), inputs


def test_fused_attention_is_eager_attention(seeing: tuple[Any, Inputs], monkeypatch: pytest.MonkeyPatch) -> None:
    fused = outputs(*seeing)
    calls: list[int] = []
    with monkeypatch.context() as replaced:
        replaced.setattr(functional, "scaled_dot_product_attention", lambda *g: (calls.append(1), eager(*g))[1])
        expected = outputs(*seeing)
    assert len(calls) == 2  # one for each layer
    own = [module for module in seeing[0].modules() if type(module) in OWN]
    for module in own:
        module.__class__ = OWN[type(module)]
    theirs = outputs(*seeing) if own else expected
    for name, value in fused.items():
        torch.testing.assert_close(value, expected[name], atol=1e-5, rtol=0)
        torch.testing.assert_close(value, theirs[name], atol=1e-5, rtol=0)


@pytest.mark.exhaustive
@pytest.mark.parametrize("option", [{"compile": True}, {"gradient_checkpointing": True}])
def test_compiled_and_recomputed_students_are_equal(seeing: tuple[Any, Inputs], option: dict[str, bool]) -> None:
    student, inputs = seeing
    expected = outputs(student, inputs)
    hardware.adapt(student, option)
    for name, value in outputs(student, inputs).items():
        torch.testing.assert_close(value, expected[name], atol=1e-5, rtol=0)


def test_the_mask_follows_the_precision(seeing: tuple[Any, Inputs]) -> None:
    student, inputs = seeing
    expected = student(inputs).logits
    with torch.autocast("cpu", torch.bfloat16):
        found = student(inputs).logits
    torch.testing.assert_close(found.float(), expected, atol=0.05, rtol=0.05)
