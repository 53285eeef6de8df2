"""Batches by tokens, as UNITER trains: the longest item's length times the number of items stays within a budget.

The official `TokenBucketSampler`: an epoch's items are shuffled and cut into buckets of 8,192; a bucket is sorted by
length, longest first, and cut into batches of a multiple of 8 items; the batches are shuffled. Unlike there, a bucket's
last, smaller batch is kept (choice): in a low-shot split it may be the only one. Processes that share batches need
equal parts, so of a bucket at most `processes` - 1 items, other ones in each epoch, are left out.
"""

import bisect
import functools
import math
from typing import Any

import torch
from torch import Tensor

from vlkd_steps.core.errors import UserError
from vlkd_steps.core.seeds import derive

BUCKET = 8192
MULTIPLE = 8


class TokenBudget:
    """The batches of a run by number: a function of (seed, number) alone, so a resumed run sees the same ones.

    Args:
        lengths: int64 [N], tokens of each item, its regions included.
        budget: tokens of a batch, padding included.
        processes: that share a batch.
    """

    def __init__(self, lengths: Tensor, budget: int, seed: int, processes: int = 1, bucket: int = BUCKET) -> None:
        if len(lengths) < processes:
            raise UserError(
                f"the training split has {len(lengths)} items for {processes} process{'es' * (processes > 1)}; choose "
                "a larger shot"
            )
        self.lengths = lengths.tolist()
        self.budget, self.seed, self.bucket, self.processes = budget, seed, bucket, processes
        self.multiple = multiple = math.lcm(MULTIPLE, processes)
        longest = max(self.lengths)
        if longest * multiple > budget:
            raise UserError(
                f"training.tokens_per_batch is {budget}; the longest item has {longest} tokens and regions, and a "
                f"batch holds at least {multiple} items: write {longest * multiple} or more"
            )
        self._ends: list[int] = []  # number of the first batch after each epoch

    def __call__(self, number: int) -> Tensor:
        """The items of batch `number`, int64 [B]; B differs from batch to batch."""
        while not self._ends or self._ends[-1] <= number:
            self._ends.append((self._ends or [0])[-1] + len(self._epoch(len(self._ends))))
        epoch = bisect.bisect_right(self._ends, number)
        return self._epoch(epoch)[number - (self._ends[epoch - 1] if epoch else 0)]

    @property
    def batches(self) -> int:
        """How many make the first epoch; others may have a few more or fewer."""
        return len(self._epoch(0))

    @functools.lru_cache(maxsize=4)  # noqa: B019 (lives as long as its run)
    def _epoch(self, number: int) -> list[Tensor]:
        generator = torch.Generator().manual_seed(derive(self.seed, "batches", number))
        ids = torch.randperm(len(self.lengths), generator=generator).tolist()
        batches: list[list[int]] = []
        for start in range(0, len(ids), self.bucket):
            bucket = ids[start : start + self.bucket]
            shared = bucket[: len(bucket) - len(bucket) % self.processes]  # of shuffled items
            longest_first = sorted(shared, key=lambda i: self.lengths[i], reverse=True)
            batches += self._cut(longest_first)
        shuffled = torch.randperm(len(batches), generator=generator).tolist()
        return [torch.tensor(batches[index], dtype=torch.int64) for index in shuffled]

    def _cut(self, items: list[int]) -> list[list[int]]:
        """Items in falling order of length -> batches; a batch's first item is its longest."""
        batches: list[list[int]] = []
        for start in range(0, len(items), self.multiple):
            group = items[start : start + self.multiple]
            last = batches[-1] if batches else None
            if last is None or self.lengths[last[0]] * (len(last) + self.multiple) > self.budget:
                batches.append(group)
            else:
                last += group
        return batches


def of(training_set: Any, budget: int, seed: int, processes: int) -> TokenBudget:
    """The batches of an encoded training split (`batches.Encoded`): what the student reads of an item, its text and,
    where it has them, its regions or a teacher's patches.

    An item with choices counts once, by its longest one, though it is read with each (official).
    """
    items = training_set.items
    lengths = training_set.lengths.cpu()[items.passage_rows.cpu()].amax(1)
    if training_set.sight is not None:
        lengths = lengths + training_set.sight.counts.cpu()[items.image_rows.cpu()]
    return TokenBudget(lengths, budget, seed, processes)
