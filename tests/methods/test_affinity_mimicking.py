import numpy as np
import pytest
import torch
from tiny_teacher import TinyStore, all_items, check_gradients, log_softmax, two_towers

from vlkd_steps.data.batches import Encoded
from vlkd_steps.students.output import StudentOutput


def test_losses_in_numpy(data: Encoded, store: TinyStore, output: StudentOutput) -> None:
    found = two_towers("affinity_mimicking", data, store, output, lambda0=3)
    losses = found.method(output, all_items(data), 4)
    assert set(losses) == {"task", "image_to_text", "text_to_image"}
    student, teacher = found.image @ found.text.T / 0.02, found.v @ found.u.T / 0.02
    for name, ours, theirs in (("image_to_text", student, teacher), ("text_to_image", student.T, teacher.T)):
        crossed = -(np.exp(log_softmax(theirs)) * log_softmax(ours)).sum(1).mean()
        assert losses[name].item() == pytest.approx(1.5 * crossed, rel=1e-4)


def test_gradients(data: Encoded, store: TinyStore, output: StudentOutput) -> None:
    check_gradients(two_towers("affinity_mimicking", data, store, output).method, output, all_items(data))


def test_gradients_are_relation_distillations_at_one_temperature(
    data: Encoded, store: TinyStore, output: StudentOutput
) -> None:
    gradients = []
    for name in ("affinity_mimicking", "relation_distillation"):
        method = two_towers(name, data, store, output, temperature=store.temperature).method
        losses = method(output, all_items(data), 0)
        distilled = losses["image_to_text"] + losses["text_to_image"]
        gradients.append(torch.autograd.grad(distilled, [output.visual, output.cls]))
    for affinity, relation in zip(*gradients, strict=True):
        torch.testing.assert_close(affinity, relation)
        assert affinity.abs().sum() > 0
