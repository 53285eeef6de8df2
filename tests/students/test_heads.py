import math

import torch

from vlkd_steps.students.heads import ClassifierHead, task_loss


def test_task_loss_by_hand() -> None:
    logits = torch.tensor([[0.0, 2.0], [-1.0, 0.0]])
    labels = torch.tensor([[1.0, 0.3], [0.0, 0.0]])
    terms = [math.log(2), math.log1p(math.exp(2)) - 0.3 * 2, math.log1p(math.exp(-1)), math.log(2)]
    torch.testing.assert_close(task_loss(logits, labels), torch.tensor(sum(terms) / 4 * 2))


def test_head_is_uniters() -> None:
    head = ClassifierHead(8, 5)
    assert [type(layer).__name__ for layer in head] == ["Linear", "GELU", "LayerNorm", "Linear"]
    assert sum(p.numel() for p in head.parameters()) == (8 * 16 + 16) + 2 * 16 + (16 * 5 + 5)
    assert head(torch.zeros(3, 8)).shape == (3, 5)
