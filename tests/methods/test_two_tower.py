from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from tiny_teacher import TinyStore, two_towers
from torch import Tensor

from vlkd_steps.core import distributed
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

    wholes: list[Tensor] = []
    monkeypatch.setattr(distributed, "gathered", lambda rows: wholes.append(rows.detach()) or rows)
    expected = gradients(slice(None))

    def from_process(own: int, seen: Iterator[Tensor]) -> list[Tensor]:
        """As `distributed.gathered` does it: the other process's rows have no gradient, its own have it twice."""

        def gathered(rows: Tensor) -> Tensor:
            whole = next(seen)
            parts = [whole[0::2], whole[1::2]]
            torch.testing.assert_close(parts[own], rows.detach())
            parts[own] = rows.view_as(rows)
            if rows.requires_grad:
                parts[own].register_hook(lambda gradient: gradient * 2)
            return torch.cat(parts)

        monkeypatch.setattr(distributed, "gathered", gathered)
        return gradients(slice(own, None, 2))

    both = [from_process(own, iter(wholes)) for own in (0, 1)]
    for first, second, whole in zip(*both, expected, strict=True):
        torch.testing.assert_close((first + second) / 2, whole)
    assert wholes


def test_the_learned_scale_begins_at_the_temperature_and_ends_at_clips() -> None:
    scale = LearnedScale(0.07)
    assert scale().item() == pytest.approx(1 / 0.07)
    with torch.no_grad():
        scale.log.fill_(10.0)
    assert scale().item() == pytest.approx(100)
    scale().backward()
    assert scale.log.grad is not None
    assert scale.log.grad.item() == pytest.approx(100)  # so that it can come back
