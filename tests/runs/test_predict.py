from types import SimpleNamespace
from typing import Any

import pytest
import torch
from accelerate import Accelerator

from vlkd_steps.core.errors import UserError
from vlkd_steps.runs import predict


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("shape", [(3, 4), (3, 4, 2)])
def test_scores_that_are_not_numbers_name_their_instance(value: float, shape: tuple[int, ...]) -> None:
    """Their argmax is an answer like any other."""
    found = torch.zeros(shape)
    found[1].view(-1)[-1] = value
    data: Any = SimpleNamespace(
        batches=lambda make, numbers, device: map(make, numbers),
        batch=lambda index: SimpleNamespace(inputs=None),
        items=SimpleNamespace(ids=["a", "b", "c", "d"]),
    )
    student: Any = lambda inputs: SimpleNamespace(logits=found)  # noqa: E731
    with pytest.raises(UserError, match="the student's scores of instance d are not finite numbers"):
        next(predict.logits(student, data, [torch.tensor([2, 3, 0])], Accelerator(cpu=True)))
