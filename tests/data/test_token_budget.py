"""Batches by tokens: the budget is kept, an epoch has every item once, a batch is a function of (seed, number)."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vlkd_steps.core.errors import UserError
from vlkd_steps.data import token_budget
from vlkd_steps.data.token_budget import TokenBudget
from vlkd_steps.students.seen_patches import PatchSight

LENGTHS = st.lists(st.integers(1, 60), min_size=1, max_size=120)


@settings(max_examples=60)
@given(LENGTHS, st.integers(0, 400), st.integers(0, 5), st.sampled_from([16, 64, 8192]))
def test_the_budget_is_kept_and_every_item_comes_once_an_epoch(
    lengths: list[int], more: int, seed: int, bucket: int
) -> None:
    budget = max(lengths) * 8 + more
    batches = TokenBudget(torch.tensor(lengths), budget, seed, bucket=bucket)
    number = 0
    for _ in range(2):
        seen: list[int] = []
        while len(seen) < len(lengths):
            batch = batches(number).tolist()
            assert max(lengths[i] for i in batch) * -(-len(batch) // 8) * 8 <= budget
            seen += batch
            number += 1
        assert sorted(seen) == list(range(len(lengths)))


@settings(max_examples=30)
@given(LENGTHS, st.integers(0, 5), st.integers(0, 40))
def test_a_batch_does_not_depend_on_earlier_batches(lengths: list[int], seed: int, number: int) -> None:
    budget = max(lengths) * 8
    from_the_start = TokenBudget(torch.tensor(lengths), budget, seed)
    for earlier in range(number):
        from_the_start(earlier)
    resumed = TokenBudget(torch.tensor(lengths), budget, seed)
    assert resumed(number).tolist() == from_the_start(number).tolist()
    assert from_the_start(0).tolist() == TokenBudget(torch.tensor(lengths), budget, seed)(0).tolist()


def test_batches_are_as_full_as_the_official_sampler_makes_them() -> None:
    batches = TokenBudget(torch.tensor([10] * 64), 320, seed=0)
    assert batches.batches == 2
    assert [len(batches(number)) for number in range(4)] == [32] * 4
    mixed = TokenBudget(torch.tensor([5] * 8 + [20] * 8), 160, seed=0)
    assert sorted(len(mixed(number)) for number in range(2)) == [8, 8]  # 16 of 20 would be 320


def test_epochs_and_seeds_differ() -> None:
    lengths = torch.arange(1, 41)
    batches, other = TokenBudget(lengths, 320, seed=0), TokenBudget(lengths, 320, seed=1)
    count = batches.batches
    assert [batches(n).tolist() for n in range(count)] != [batches(n).tolist() for n in range(count, 2 * count)]
    assert [batches(n).tolist() for n in range(count)] != [other(n).tolist() for n in range(count)]


def test_a_budget_that_is_too_small_is_named() -> None:
    with pytest.raises(UserError, match=r"training.tokens_per_batch is 100; .* write 160 or more"):
        TokenBudget(torch.tensor([3, 20]), 100, seed=0)
    with pytest.raises(UserError, match="the training split has 0 items"):
        TokenBudget(torch.tensor([], dtype=torch.int64), 100, seed=0)


@pytest.mark.parametrize("processes", [2, 3])
def test_processes_share_every_batch_in_equal_parts(processes: int) -> None:
    lengths = list(range(1, 18))
    batches = TokenBudget(torch.tensor(lengths), 17 * 24, seed=0, processes=processes)
    epoch = [batches(number).tolist() for number in range(batches.batches)]
    assert all(batch and len(batch) % processes == 0 for batch in epoch)
    assert sum(map(len, epoch)) == 17 - 17 % processes
    assert {item for number in range(100) for item in batches(number).tolist()} == set(range(17))


def test_fewer_items_than_processes_are_refused() -> None:
    with pytest.raises(UserError, match="1 items for 2 processes; choose a larger shot"):
        TokenBudget(torch.tensor([3]), 100, seed=0, processes=2)


def test_an_item_with_choices_counts_once_by_its_longest_choice_and_its_regions() -> None:
    """As the official code counts: VCR's longest items, about 110 tokens and 200 regions, fit into its 4,000 tokens."""
    items = SimpleNamespace(passage_rows=torch.tensor([[0, 1, 2, 3]]), image_rows=torch.tensor([0]))
    sight = SimpleNamespace(counts=torch.tensor([36]))
    encoded = SimpleNamespace(items=items, sight=sight, lengths=torch.tensor([10, 8, 9, 7]))
    assert token_budget.of(encoded, 8 * 46, 0, 1).lengths == [10 + 36]


def test_a_plugged_in_teachers_patches_count() -> None:
    store = SimpleNamespace(patches=lambda names: np.zeros((len(names), 9, 4), np.float32))
    items = SimpleNamespace(passage_rows=torch.tensor([[0], [1]]), image_rows=torch.tensor([1, 0]))
    encoded = SimpleNamespace(items=items, sight=PatchSight(store, ["a", "b"]), lengths=torch.tensor([3, 5]))
    assert token_budget.of(encoded, 8 * 14, 0, 1).lengths == [3 + 9, 5 + 9]
