"""What a GPU would be allowed in a forward pass, seen on a CPU."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from vlkd_steps.core import hardware


def rounding(model: Any, monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """A list to which each forward pass of `model` from now on adds whether it may round factors to TF32, as torch
    does by default."""
    now, seen = [True], []

    @contextmanager
    def tf32(device: str, allowed: bool) -> Iterator[None]:
        now.append(allowed)
        yield
        now.pop()

    monkeypatch.setattr(hardware, "tf32", tf32)
    body = getattr(model, "backbone", model)
    body.register_forward_hook(lambda *_: seen.append(now[-1]))
    return seen
