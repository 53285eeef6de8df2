"""Distances between a student's projected features and a teacher's, and contrasts with the batch's other items."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from vlkd_steps.core import distributed
from vlkd_steps.data.batches import Batch

Distance = Callable[[Tensor, Tensor], Tensor]
HARDLY = 1e-3  # of a vector's length


def layer_norm(features: Tensor) -> Tensor:
    """LN: layer normalisation over the last dimension, without parameters."""
    return functional.layer_norm(features.float(), features.shape[-1:])


def l1(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean absolute difference over the last dimension: [..., D] -> [...]."""
    return (student - teacher).abs().mean(-1)


def mse(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared difference over the last dimension: [..., D] -> [...]."""
    return (student - teacher).square().mean(-1)


def cosine(student: Tensor, teacher: Tensor) -> Tensor:
    """1 - cosine similarity: [..., D] -> [...]."""
    return 1.0 - functional.cosine_similarity(student, teacher, dim=-1)


def relation(student: Tensor, teacher: Tensor) -> Tensor:
    """How differently items are arranged: the mean absolute difference of an item's centred cosines to all items.

    Args:
        student, teacher: [B / N, D] and [B / N, E] in each of N processes. The mean of the batch is taken from them, so
            that it does not matter what all targets have in common.

    Returns:
        [B]: of the items of all processes, since each depends on all of them.
    """
    return (_arrangement(student) - _arrangement(teacher)).abs().mean(1)


def _arrangement(features: Tensor) -> Tensor:
    """The cosines between the rows of the whole batch after their mean is taken from them, [B, B].

    Rows that hardly differ from the mean have no direction: their cosines go to 0, not to those of rounding errors.
    """
    whole = distributed.gathered(features.float())
    centred = whole - whole.mean(0)
    least = HARDLY * whole.detach().norm(dim=-1, keepdim=True)
    directions = centred / torch.maximum(centred.norm(dim=-1, keepdim=True), least).clamp_min(1e-12)
    return products(directions, directions)


def products(rows: Tensor, columns: Tensor) -> Tensor:
    """The inner products of rows [B, D] and columns [C, D], [B, C], in float32 also where a step is computed in bf16.

    A temperature divides them by up to 0.01: of a cosine of 0.4, bf16 would leave 0.1 of the quotient uncertain.
    """
    with torch.autocast(rows.device.type, enabled=False):
        return rows.float() @ columns.float().T


DISTANCES: dict[str, Distance] = {"l1": l1, "mse": mse, "cosine": cosine, "relation": relation}


def info_nce(student: Tensor, teacher: Tensor, same: Tensor, temperature: float) -> Tensor:
    """Symmetric InfoNCE over the pairs of a batch; the positives are (student_i, teacher_i).

    Args:
        student, teacher: [B, D], normalised here to unit length.
        same: bool [B, B], pairs that share the image or the text: not negatives (the diagonal is ignored).
        temperature: divides the cosines.

    Returns:
        Scalar, the mean of both directions. 0 where every pair of the batch is masked.
    """
    cosines = products(*(functional.normalize(each.float(), dim=-1) for each in (student, teacher)))
    return (nce(cosines / temperature, same) + nce(cosines.T / temperature, same.T)) / 2


def nce(logits: Tensor, same: Tensor) -> Tensor:
    """InfoNCE of each row, whose positive is on the diagonal: the mean over the rows of [B, B].

    Args:
        same: as `info_nce`.
    """
    own = torch.eye(len(logits), dtype=torch.bool, device=logits.device)
    matching = torch.arange(len(logits), device=logits.device)
    return functional.cross_entropy(logits.masked_fill(same & ~own, float("-inf")), matching)


def same_pairs(batch: Batch) -> Tensor:
    """Bool [all rows, all rows]: which other rows show the same image or have the same text."""
    images, texts = distributed.gathered(batch.image_rows), distributed.gathered(batch.text_rows)
    same = (images[:, None] == images) | (texts[:, None] == texts)
    return same.fill_diagonal_(False)
