import numpy as np
import pytest
from tiny_teacher import TinyStore, V, all_items

from vlkd_steps.core.errors import UserError
from vlkd_steps.data.batches import Encoded
from vlkd_steps.methods import objective
from vlkd_steps.students.output import StudentOutput

SETTINGS = {"name": "naive_kd", "lambda0": 3, "anneal": "none", "distance": "l1"}


def ln(x: np.ndarray) -> np.ndarray:
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)


@pytest.mark.parametrize(("anneal", "factor"), [("none", 3.0), ("linear", 3.0 * 0.6)])
def test_losses_in_numpy(data: Encoded, store: TinyStore, output: StudentOutput, anneal: str, factor: float) -> None:
    method = objective.create(SETTINGS | {"anneal": anneal}, steps=10)
    data.extra = method.prepare(data, store, seed=1)
    method.project(5, data.extra)
    losses = method(output, all_items(data), 4)
    cls = output.cls.detach().numpy()
    weights = {name: value.detach().numpy() for name, value in method.named_parameters()}
    v = ln(np.array([V[i] for i in ("i0", "i1", "i0", "i2")], np.float32))
    u = ln(store.texts([data.items.texts[i] for i in (0, 1, 1, 0)]))
    for name, layer, target in (("image", "to_image", v), ("text", "to_text", u)):
        projected = cls @ weights[f"{layer}.weight"].T + weights[f"{layer}.bias"]
        assert losses[name].item() == pytest.approx(factor * np.abs(projected - target).mean(), rel=1e-5)
    assert set(losses) == {"task", "image", "text"}


def test_student_and_projections_learn_the_teacher_does_not(
    data: Encoded, store: TinyStore, output: StudentOutput
) -> None:
    method = objective.create(SETTINGS, steps=10)
    data.extra = method.prepare(data, store, seed=1)
    method.project(5, data.extra)
    batch = all_items(data)
    losses = method(output, batch, 0)
    (losses["image"] + losses["text"]).backward()
    assert not any(value.requires_grad for value in batch.extra.values())
    assert output.cls.grad is not None
    assert output.logits.grad is None
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in method.parameters())


def test_settings_are_checked() -> None:
    for change, message in (
        ({"lamda0": 1}, "unknown key 'lamda0' .*; did you mean 'lambda0'"),
        ({"distance": "l3"}, "distance is 'l3'; choose from: l1, mse, cosine"),
        ({"lambda0": "strong"}, "lambda0 is 'strong'; write a number, 0 or more"),
        ({"lambda0": -1}, "lambda0 is -1; write a number, 0 or more"),
    ):
        with pytest.raises(UserError, match=message):
            objective.create(SETTINGS | change, steps=10)
    with pytest.raises(UserError, match="method naive_kd: anneal is missing"):
        objective.create({"name": "naive_kd", "lambda0": 1, "distance": "l1"}, steps=10)
    with pytest.raises(UserError, match=r"there is no method 'nothing'; valid are: affinity_mimicking, .*, clip_td"):
        objective.create({"name": "nothing"}, steps=10)
