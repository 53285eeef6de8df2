import torch
from tiny_teacher import all_items

from vlkd_steps.config.models.method import declaration
from vlkd_steps.core import components
from vlkd_steps.data.batches import Encoded
from vlkd_steps.methods import objective
from vlkd_steps.students.heads import task_loss
from vlkd_steps.students.output import StudentOutput


def test_the_loss_is_the_tasks(data: Encoded, output: StudentOutput) -> None:
    method = objective.create({"name": "plug_in"}, steps=10)
    assert list(method.parameters()) == []
    batch = all_items(data)
    losses = method(output, batch, 0)
    assert list(losses) == ["task"]
    assert torch.equal(losses["task"], task_loss(output.logits, batch.labels))


def test_it_and_the_probe_alone_keep_their_teacher() -> None:
    keeping = [name for name in components.names("method") if declaration(name).keeps_teacher]
    assert keeping == ["clip_probe", "plug_in"]
