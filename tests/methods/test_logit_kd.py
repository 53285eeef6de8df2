from typing import Any

import numpy as np
import pytest
import torch
from tiny_teacher import TinyStore, all_items, log_softmax, targets_of

from vlkd_steps.core.errors import UserError
from vlkd_steps.data.batches import Encoded
from vlkd_steps.methods import objective
from vlkd_steps.students.output import StudentOutput
from vlkd_steps.teachers.targets.soft_answers import SoftAnswers
from vlkd_steps.teachers.targets.target_file import Targets

SETTINGS = {"name": "logit_kd", "lambda0": 3, "temperature": 2, "probe_items": 10_000, "kept": 2}
TOLD = SoftAnswers(
    np.array([[2, 0], [1, 2], [0, 0], [0, 1]], np.int32),
    np.array([[0.6, 0.3], [0.5, 0.5], [0.0, 0.0], [0.9, 0.1]], np.float32),
)
"""Two of three classes for each item, and for the third item none."""


def made(data: Encoded, store: TinyStore, **changed: Any) -> objective.Objective:
    method = objective.create(SETTINGS | changed, steps=10)
    data.extra = method.prepare(data, store, 1, Targets(answers=TOLD))
    method.project(5, data.extra)
    return method


def expected(scores: np.ndarray, temperature: float) -> float:
    """The mean over the items of T^2 KL(p_T || q_T), by its definition."""
    q = log_softmax(scores / temperature)
    terms = []
    for item, (classes, probabilities) in enumerate(zip(TOLD.classes, TOLD.probabilities, strict=True)):
        p = probabilities.astype(float) ** (1 / temperature)
        p = p / p.sum() if p.sum() else p
        terms.append(sum(pc * (np.log(pc) - q[item, c]) for c, pc in zip(classes, p, strict=True) if pc))
    return float(temperature**2 * np.mean(terms))


@pytest.mark.parametrize("temperature", [1, 2, 5])
def test_losses_in_numpy(data: Encoded, store: TinyStore, output: StudentOutput, temperature: float) -> None:
    losses = made(data, store, temperature=temperature)(output, all_items(data), 4)
    assert set(losses) == {"task", "answers"}
    assert losses["answers"].item() == pytest.approx(
        3 * expected(output.logits.detach().numpy(), temperature), rel=1e-5
    )


def test_a_low_temperature_leaves_the_likeliest_answer(data: Encoded, store: TinyStore) -> None:
    method = objective.create(SETTINGS | {"temperature": 0.01}, steps=10)
    unsure = SoftAnswers(TOLD.classes, TOLD.probabilities / 3)  # all below float32's smallest to the power of 100
    likely = method.prepare(data, store, 1, Targets(answers=unsure))["likely"]
    assert isinstance(likely, torch.Tensor)
    np.testing.assert_allclose(likely, [[1, 0], [0.5, 0.5], [0, 0], [1, 0]], atol=1e-6)


def test_of_choices_the_scores_that_rank_them_are_taught(data: Encoded, store: TinyStore) -> None:
    logits = torch.randn(4, 3, 2, generator=torch.Generator().manual_seed(1)).requires_grad_()
    losses = made(data, store)(StudentOutput(logits, *[torch.zeros(4, 1)] * 5), all_items(data), 0)
    assert losses["answers"].item() == pytest.approx(3 * expected(logits.detach().numpy()[:, :, 1], 2), rel=1e-5)


def test_the_student_alone_learns_and_equal_answers_teach_nothing(
    data: Encoded, store: TinyStore, output: StudentOutput
) -> None:
    method = made(data, store)
    assert list(method.parameters()) == []
    method(output, all_items(data), 0)["answers"].backward()
    assert output.logits.grad is not None
    assert output.logits.grad[2].tolist() == [0, 0, 0]  # the third item has no soft answers
    assert (output.logits.grad[[0, 1, 3]].abs().sum(1) > 0).all()
    logits = torch.full((4, 3), -80.0).scatter(
        1, torch.tensor(TOLD.classes).long(), torch.tensor(TOLD.probabilities).log().clamp(min=-80)
    )
    same = StudentOutput(logits, *[torch.zeros(4, 1)] * 5)
    assert method(same, all_items(data), 0)["answers"].item() == pytest.approx(0, abs=1e-5)


def test_too_few_images_for_the_probes_are_refused(data: Encoded, store: TinyStore) -> None:
    with pytest.raises(UserError, match="none of the 4 training items gets soft answers"):  # three images, five folds
        targets_of(SETTINGS, data, store)


def test_settings_are_checked() -> None:
    with pytest.raises(UserError, match="temperature is 0; write a number above 0"):
        objective.create(SETTINGS | {"temperature": 0}, steps=10)
