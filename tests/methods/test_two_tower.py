from dataclasses import replace

import pytest
import torch
import two_processes
from tiny_teacher import TinyStore, two_towers
from torch import Tensor

from vlkd_steps.data.batches import Encoded
from vlkd_steps.methods.two_tower import LearnedScale
from vlkd_steps.students.output import StudentOutput


@pytest.mark.parametrize("name", ["interactive_contrast", "relation_distillation", "affinity_mimicking"])
def test_two_processes_average_to_the_gradient_of_the_whole_batch(
    name: str, data: Encoded, store: TinyStore, output: StudentOutput, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = two_towers(name, data, store, output).method
    parameters = list(method.parameters())

    def gradients(rows: slice) -> list[Tensor]:
        part = {key: value[rows] for key, value in vars(output).items() if value is not None}
        losses = method(replace(output, **part), data.batch(torch.arange(4)[rows]), 0)
        return list(torch.autograd.grad(losses["image_to_text"] + losses["text_to_image"], parameters))

    expected, of_two = two_processes.compared(gradients, monkeypatch)
    torch.testing.assert_close(of_two, expected)


def test_the_learned_scale_begins_at_the_temperature_and_ends_at_clips() -> None:
    scale = LearnedScale(0.07)
    assert scale().item() == pytest.approx(1 / 0.07)
    with torch.no_grad():
        scale.log.fill_(10.0)
    assert scale().item() == pytest.approx(100)
    scale().backward()
    assert scale.log.grad is not None
    assert scale.log.grad.item() == pytest.approx(100)  # so that it can come back
