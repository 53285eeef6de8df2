import torch
from tiny_teacher import all_items

from vlkd_steps.config.models.method import declaration
from vlkd_steps.data.batches import Encoded
from vlkd_steps.methods import objective
from vlkd_steps.students.heads import task_loss
from vlkd_steps.students.output import StudentOutput


def test_finetune_is_the_tasks_loss_alone(data: Encoded, output: StudentOutput) -> None:
    method = objective.create({"name": "finetune"}, steps=10)
    assert not declaration("finetune").needs_teacher(method.settings)
    assert method.prepare(data, None, seed=1) == {}
    method.project(5, {})
    assert list(method.parameters()) == []
    batch = all_items(data)
    assert batch.labels.tolist()[0] == torch.tensor([0.9, 0.3, 0.0]).tolist()
    losses = method(output, batch, 3)
    assert list(losses) == ["task"]
    assert torch.equal(losses["task"], task_loss(output.logits, batch.labels))
