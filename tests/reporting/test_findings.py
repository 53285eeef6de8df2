from typing import Any

from vlkd_steps.reporting.findings import findings


def row(shot: str, gain: float, p: float, seeds: str = "1 2 3 4 5") -> dict[str, Any]:
    return {
        "dataset": "scenes_vqa", "student": "vilt", "variant": "clip_td", "shot": shot, "evaluation_set": "test",
        "metric": "accuracy", "gain": gain, "gain_low": gain - 1, "gain_high": gain + 1, "p": p, "p_holm": p,
        "seeds": seeds, "unit": "questions",
    }  # fmt: skip


def test_gains_are_judged_like_secondary_claims() -> None:
    rows = [row("100", -4.0, 0.001), row("300", 5.0, 0.004), row("1000", 1.5, 0.049), row("3000", 0.2, 0.6)]
    [found] = findings(rows, "finetune")
    assert "1 supported, 1 nominal, 1 not decided, 1 contradicted." in found.detail


def test_three_seeds_decide_nothing() -> None:
    [found] = findings([row("100", 4.0, 0.001, "1 2 3")], "finetune")
    assert "a verdict takes 5 seeds." in found.detail
    assert "supported" not in found.detail


def test_one_comparison_is_not_counted_and_a_loss_is_no_gain() -> None:
    [found] = findings([row("100", -4.0, 0.001)], "finetune")
    assert "On test: −4.0 [−5.0, −3.0] on scenes_vqa at 100 training questions; contradicted." in found.detail
    [found] = findings([row("100", -4.0, 0.001), row("300", -2.0, 0.001)], "finetune")
    assert "below 0 in 2" in found.detail
    assert "Smallest loss: −2.0" in found.detail


def test_captions_are_compared_by_their_metric_unless_there_is_an_accuracy() -> None:
    captions = row("100", 4.0, 0.001) | {"metric": "CIDEr", "dataset": "coco CIDEr"}
    [found] = findings([captions], "finetune")
    assert found.title == "clip_td gains +4.0 CIDEr points over finetune"
    [found] = findings([captions, row("100", 2.0, 0.001)], "finetune")
    assert found.title == "clip_td gains +2.0 points over finetune"
