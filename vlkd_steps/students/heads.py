"""Classifier head and task loss of VQA and visual entailment (ChenRocks/UNITER `model/vqa.py`, `model/ve.py`)."""

from torch import Tensor, nn
from torch.nn import functional


class ClassifierHead(nn.Sequential):
    """Linear(H, 2H) - GELU - LayerNorm - Linear(2H, C) on the pooled output: [B, H] -> [B, C].

    Weights start from N(0, `std`) and biases from 0, as in BERT; draws from torch's global generator, which the
    caller seeds.
    """

    def __init__(self, width: int, classes: int, std: float = 0.02) -> None:
        super().__init__(
            nn.Linear(width, 2 * width),
            nn.GELU(),
            nn.LayerNorm(2 * width, eps=1e-12),
            nn.Linear(2 * width, classes),
        )
        for layer in self:
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, std=std)
                nn.init.zeros_(layer.bias)


def task_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Binary cross-entropy with logits, mean over the batch and the C classes, times C.

    Args:
        logits: [B, C].
        labels: [B, C] in [0, 1]: soft scores (VQA) or one-hot rows (entailment). A row of zeros, a question
            whose answers are all outside the vocabulary, pushes every class down, as in the official code.
    """
    mean = functional.binary_cross_entropy_with_logits(logits.float(), labels)
    return mean * logits.shape[1]
