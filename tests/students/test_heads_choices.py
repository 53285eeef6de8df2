"""Choices (VCR): two logits each, by golden values."""

import math

import pytest
import torch

from vlkd_steps.core.errors import UserError
from vlkd_steps.students import heads
from vlkd_steps.students.output import StudentOutput

LOGITS = torch.tensor([[[0.0, 1.0], [0.0, 0.0], [2.0, 0.0], [0.0, 3.0]]])
LABELS = torch.tensor([[0.0, 1.0, 0.0, 0.0]])


def test_the_loss_is_the_mean_cross_entropy_of_every_choice() -> None:
    # wrong at (0, 1), right at (0, 0), wrong at (2, 0), wrong at (0, 3)
    expected = (math.log(1 + math.e) + math.log(2) + math.log(1 + math.exp(-2)) + math.log(1 + math.exp(3))) / 4
    assert heads.task_loss(LOGITS, LABELS).item() == pytest.approx(expected, abs=1e-6)


def test_the_second_logit_is_the_score() -> None:
    assert heads.scores(LOGITS).tolist() == [[1.0, 0.0, 0.0, 3.0]]
    assert heads.probabilities(LOGITS)[0, 2].item() == pytest.approx(1 / (1 + math.exp(2)), abs=1e-6)


def test_rows_of_an_items_choices_follow_one_another() -> None:
    torch.manual_seed(0)
    head = heads.create("vcr", ["0", "1", "2", "3"], 8, 0.02)
    pooled = torch.randn(12, 8)
    assert head(pooled).shape == (3, 4, 2)
    torch.testing.assert_close(head(pooled)[1, 2], head(pooled[4:8])[0, 2])


def test_a_task_without_a_head_is_named() -> None:
    with pytest.raises(UserError, match=r"no student has a head for task captioning .*; there are classes and choices"):
        heads.create("captioning", [], 8, 0.02)


def test_only_chosen_rows_are_distilled_and_padding_is_not_seen() -> None:
    states = torch.arange(12.0).reshape(4, 3, 1)
    visible = torch.tensor([[1, 1, 0]] * 4)
    output = StudentOutput(LOGITS, states[:, 0], states[:, 0], states, states, states, visible)
    chosen = output.of(torch.tensor([2]))
    assert chosen.cls.tolist() == [[6.0]]
    assert chosen.seen.tolist() == [[6.5]]
    assert chosen.logits is LOGITS
