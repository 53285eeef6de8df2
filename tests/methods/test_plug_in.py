import importlib
import pkgutil
from typing import Any

import torch
from tiny_teacher import all_items

from vlkd_steps import methods
from vlkd_steps.config.methods import KEEPS_TEACHER
from vlkd_steps.data.batches import Encoded
from vlkd_steps.methods import objective
from vlkd_steps.students.heads import task_loss
from vlkd_steps.students.output import StudentOutput


def test_the_loss_is_the_tasks(data: Encoded, output: StudentOutput) -> None:
    method = objective.create({"name": "plug_in"}, steps=10)
    assert method.keeps_teacher
    assert list(method.parameters()) == []
    batch = all_items(data)
    losses = method(output, batch, 0)
    assert list(losses) == ["task"]
    assert torch.equal(losses["task"], task_loss(output.logits, batch.labels))


def test_light_steps_know_who_keeps_the_teacher() -> None:
    found: set[Any] = set()
    for module in pkgutil.iter_modules(methods.__path__, "vlkd_steps.methods."):
        method = getattr(importlib.import_module(module.name), "METHOD", None)
        if method is not None and method.keeps_teacher:
            found.add(module.name.rsplit(".", 1)[1])
    assert found == KEEPS_TEACHER
