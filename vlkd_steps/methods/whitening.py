"""Whitening of a teacher's targets, which may lie so close to a constant that a student matches little else.

It is fitted on the rows that the items of the training split use, once each (docs/papers.md, "Whitening").
"""

from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor

from vlkd_steps.core.errors import UserError
from vlkd_steps.data.batches import IndexedTensor

CONSTANT = 1e-4
"""A feature that varies by less, relative to its size, counts as constant, and so does a component that varies by less
than this share of the first one: to standardise it would amplify rounding."""
BLOCK = 65536
"""Rows that are read in float64 together: all patches of a large data set would be tens of gigabytes."""

Whiten = Callable[[Tensor], Tensor]
"""Rows in float64, [B, D] -> [B, K]."""
Target = IndexedTensor | Tensor


def standardise(rows: Tensor, share: float) -> Whiten:
    """Each feature less its mean, divided by its standard deviation over the rows [N, D]; `share` changes nothing."""
    mean = _mean(rows)
    deviation = _mean(rows, lambda block: (block - mean).square()).sqrt()
    deviation[deviation <= CONSTANT * torch.hypot(mean, deviation)] = 1
    return lambda block: (block - mean) / deviation


def pca(rows: Tensor, share: float) -> Whiten:
    """The first principal components of the rows [N, D], each divided by its standard deviation.

    As few as hold `share` of the variance. A component is an eigenvector of the covariance in float64; its sign is that
    with which its largest entry is positive.
    """
    mean = _mean(rows)
    covariance = torch.zeros(len(mean), len(mean), dtype=torch.float64)
    for block in _blocks(rows):
        covariance += (block - mean).T @ (block - mean) / len(rows)
    variances, components = (found.flip(-1) for found in torch.linalg.eigh(covariance))
    varying = variances > CONSTANT**2 * variances[0]
    few = variances.cumsum(0) - variances < share * variances.sum()  # those before it do not hold the share
    variances, components = variances[varying & few], components[:, varying & few]
    largest = components.gather(0, components.abs().argmax(0, keepdim=True))
    scaled = components * largest.sign() / variances.sqrt()
    return lambda block: (block - mean) @ scaled


WHITENINGS: dict[str, Callable[[Tensor, float], Whiten]] = {"standardise": standardise, "pca": pca}


def whitened(targets: Mapping[str, Target], kind: str, share: float) -> dict[str, Target]:
    """The targets by name, float32 [..., K], each table by a fit of its own; one that several share is fitted once.

    Args:
        targets: [..., D]; of a table those rows are fitted on that some item uses.

    Raises:
        UserError: no two of a target's rows differ.
    """
    tables: dict[int, Tensor] = {}
    found: dict[str, Target] = {}
    for name, target in targets.items():
        table = target.table if isinstance(target, IndexedTensor) else target
        if id(table) not in tables:
            rows = _used(target).flatten(0, -2)
            if _constant(rows):
                called = {"v": "image", "u": "text"}.get(name, name)
                raise UserError(
                    f"whitening is {kind!r}, but the target {called!r} is the same for all training items; "
                    "choose a larger shot, or set whitening: none"
                )
            whiten = WHITENINGS[kind](rows, share)
            made = torch.cat([whiten(block).float() for block in _blocks(table.flatten(0, -2))])
            tables[id(table)] = made.unflatten(0, table.shape[:-1])
        made = tables[id(table)]
        found[name] = IndexedTensor(made, target.rows) if isinstance(target, IndexedTensor) else made
    return found


def _used(target: Target) -> Tensor:
    if isinstance(target, Tensor):
        return target
    used = target.rows[target.rows >= 0].unique()  # -1 stands for no row
    return target.table if len(used) == len(target.table) else target.table[used]


def _constant(rows: Tensor) -> bool:
    first = rows[:1].double()
    near = (bool(((block - first).abs() <= CONSTANT * first.abs()).all()) for block in _blocks(rows))
    return len(rows) < 2 or all(near)


def _mean(rows: Tensor, of: Whiten = lambda block: block) -> Tensor:
    total = torch.zeros(rows.shape[1], dtype=torch.float64)
    for block in _blocks(rows):
        total += of(block).sum(0)
    return total / len(rows)


def _blocks(rows: Tensor) -> Iterator[Tensor]:
    return (block.double() for block in rows.split(BLOCK))
