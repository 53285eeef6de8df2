"""The words of a claim that has no text of its own say what is tested."""

from typing import Any

import pytest

from vlkd_steps.config.models.claim import Claim
from vlkd_steps.evaluation.claims import in_words


@pytest.mark.parametrize(
    ("tested", "said"),
    [
        ({}, "a > b"),
        ({"direction": "below"}, "a < b"),
        ({"direction": "either"}, "a differs from b"),
        ({"margin": 2}, "a > b - 2 points"),
        ({"direction": "below", "margin": 0.5}, "a < b + 0.5 points"),
        ({"test": "slope", "direction": "below"}, "the gain of a over b falls with n"),
        ({"test": "slope", "direction": "either"}, "the gain of a over b changes with n"),
        (
            {"test": "measure", "metric": "infilling", "set": ["kept"], "direction": "below", "margin": 2},
            "infilling of a < that of b + 2 %",
        ),
        ({"test": "same_tensors"}, "a and b have tensors of the same names and shapes"),
    ],
)
def test_the_words_of_a_claim_without_text(tested: dict[str, Any], said: str) -> None:
    places = {"dataset": ["scenes_vqa"], "shot": [100, 300, 1000]}
    claim = Claim.model_validate({"variant": "ours", "reference": "theirs", "level": "secondary", **places, **tested})
    assert in_words(claim, "a", "b") == said
