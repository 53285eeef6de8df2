"""The gradients of a batch that two processes share, computed in this one."""

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

from vlkd_steps.core import distributed

Gradients = Callable[[slice], list[Tensor]]


def compared(gradients: Gradients, monkeypatch: pytest.MonkeyPatch) -> tuple[list[Tensor], list[Tensor]]:
    """Those of the whole batch, and the mean of those of two processes, of which each has every other item.

    Args:
        gradients: of the batch's items in a slice, by a loss that gathers what it compares.
    """
    wholes: list[Tensor] = []
    monkeypatch.setattr(distributed, "gathered", lambda rows: wholes.append(rows.detach()) or rows)
    expected = gradients(slice(None))
    assert wholes

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

    first, second = (from_process(own, iter(wholes)) for own in (0, 1))
    return expected, [(one + other) / 2 for one, other in zip(first, second, strict=True)]
