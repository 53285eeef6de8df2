from typing import Any

import pytest

from vlkd_steps.reporting.headline import headline


def row(variant: str, shot: str, mean: float) -> dict[str, Any]:
    known = {"reference_mean": None, "gain": None} if variant == "finetune" else {"reference_mean": 50.0, "gain": 1.0}
    return {
        "dataset": "pets", "student": "vilt", "variant": variant, "shot": shot, "evaluation_set": "test",
        "metric": "accuracy", "mean": mean, "gain_low": None, "gain_high": None, **known,
    }  # fmt: skip


@pytest.mark.parametrize("shots", [("100", "1000", "full"), ("full", "100", "1000")])
def test_it_is_at_the_largest_shot_whatever_the_order_of_the_grids_blocks(shots: tuple[str, ...]) -> None:
    grid = [row(variant, shot, 51.0) for variant in ("finetune", "clip_td") for shot in shots]
    found = headline([*grid, row("logit_kd", "1000", 99.0)], "pets", "finetune")
    assert (found["method"], found["shot"], found["best"]) == ("clip_td", "full", 51.0)
