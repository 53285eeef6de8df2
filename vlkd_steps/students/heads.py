"""Heads and losses by the kind of head that a task declares: a classifier, or two logits for each choice.

They are those of ChenRocks/UNITER: `model/vqa.py` and `model/ve.py` classify an item, `model/vcr.py` scores choices. A
ViLT may have its authors' classifier instead.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from vlkd_steps import tasks
from vlkd_steps.core.errors import UserError


class ClassifierHead(nn.Sequential):
    """Linear(H, 2H) - GELU - LayerNorm - Linear(2H, C) on the pooled output: [B, H] -> [B, C].

    As in BERT, weights start from N(0, `std`), drawn from torch's global generator, which the caller seeds, and biases
    from 0.
    """

    def __init__(self, width: int, classes: int, std: float = 0.02) -> None:
        super().__init__(
            nn.Linear(width, 2 * width),
            nn.GELU(),
            nn.LayerNorm(2 * width, eps=1e-12),
            nn.Linear(2 * width, classes),
        )
        start(self, std)


class ViltHead(nn.Sequential):
    """Linear(H, 2H) - LayerNorm - GELU - Linear(2H, C) on the pooled output: [B, H] -> [B, C].

    The head of dandelin/ViLT (``vqa_classifier``) and of transformers' `ViltForQuestionAnswering`, initialised as
    `ClassifierHead`.
    """

    def __init__(self, width: int, classes: int, std: float = 0.02) -> None:
        super().__init__(nn.Linear(width, 2 * width), nn.LayerNorm(2 * width), nn.GELU(), nn.Linear(2 * width, classes))
        start(self, std)


class ChoiceHead(nn.Sequential):
    """Linear(H, 2H) - ReLU - LayerNorm - Linear(2H, 2) on the pooled output of every choice: [B A, H] -> [B, A, 2].

    The rows of an item's A choices are consecutive. The second logit is that of a right choice.
    """

    def __init__(self, width: int, choices: int, std: float = 0.02) -> None:
        super().__init__(
            nn.Linear(width, 2 * width), nn.ReLU(), nn.LayerNorm(2 * width, eps=1e-12), nn.Linear(2 * width, 2)
        )
        self.choices = choices
        start(self, std)

    def forward(self, pooled: Tensor) -> Tensor:
        return super().forward(pooled).unflatten(0, (-1, self.choices))


def start(head: nn.Sequential, std: float) -> None:
    for layer in head:
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=std)
            nn.init.zeros_(layer.bias)


HEADS: dict[str, type[ClassifierHead] | type[ChoiceHead]] = {"classes": ClassifierHead, "choices": ChoiceHead}
"""By `Task.head`."""


def create(task: str, labels: Sequence[str], width: int, std: float) -> nn.Sequential:
    """A new head for `task` on a student of `width`; its classes, or an item's choices, are `labels`."""
    kind = tasks.load(task).head
    if kind not in HEADS:
        raise UserError(f"no student has a head for task {task} (answers: {kind}); there are {' and '.join(HEADS)}")
    return HEADS[kind](width, len(labels), std)


def task_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """The loss of a batch, by the shape of its logits.

    Args:
        logits: [B, C]: binary cross-entropy, mean over the batch and the C classes, times C; or [B, A, 2]:
            cross-entropy of every choice's two logits, mean over all choices.
        labels: [B, C] in [0, 1]: soft scores (VQA) or one-hot rows (entailment, VCR). A row of zeros, a question
            whose answers are all outside the vocabulary, lowers every class, as in the official code.
    """
    if logits.ndim == 3:
        return functional.cross_entropy(logits.float().flatten(0, 1), labels.flatten().long())
    mean = functional.binary_cross_entropy_with_logits(logits.float(), labels)
    return mean * logits.shape[1]


def probabilities(logits: Tensor) -> Tensor:
    """Probability of each class or choice, [B, C]: the sigmoid of its score, or the softmax of its two logits at 1."""
    logits = logits.float()
    return logits.softmax(2)[:, :, 1] if logits.ndim == 3 else logits.sigmoid()


def scores(logits: Tensor) -> Tensor:
    """Scores that rank the classes or choices, float32 [B, C]: the logits, or each choice's second one (official)."""
    return torch.select(logits.float(), 2, 1) if logits.ndim == 3 else logits.float()
