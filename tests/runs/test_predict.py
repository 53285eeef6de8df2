from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest
import torch
from accelerate import Accelerator

from vlkd_steps.core.errors import UserError
from vlkd_steps.core.interruption import StopRequest
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


class OnAMac(torch.Tensor):
    """A tensor on a device that has no float64 (MPS)."""

    def cpu(self, *_: Any) -> torch.Tensor:
        return self.as_subclass(torch.Tensor)

    def double(self, *_: Any) -> torch.Tensor:
        raise TypeError("Cannot convert a MPS Tensor to float64 dtype")


def test_a_device_without_float64_predicts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = torch.tensor([[0.0, 1.0], [2.0, 0.0], [0.0, 3.0]])
    items = SimpleNamespace(ids=["a", "b", "c"], labels=["no", "yes"], passage_rows=torch.arange(3)[:, None])
    data: Any = type("Three", (), {"items": items, "lengths": torch.tensor([1, 3, 2]), "__len__": lambda _: 3})()
    monkeypatch.setattr(
        predict, "logits", lambda *of: ((None, found[index].as_subclass(OnAMac)) for index in of[2])
    )  # fmt: skip
    out = tmp_path / "test.parquet"
    predict.write_predictions(torch.nn.Linear(1, 1), data, out, Accelerator(cpu=True), StopRequest())
    assert pl.read_parquet(out)["answer"].to_list() == ["yes", "no", "yes"]
    assert pl.read_parquet(out)["probability"].to_list() == found.amax(1).sigmoid().double().tolist()
