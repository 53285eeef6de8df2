from typing import Any

from vlkd_steps.reporting.experiment import looked_at
from vlkd_steps.reporting.findings import findings, main_rows


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


def test_a_title_counts_what_is_significant() -> None:
    unclear = [row(str(shot), gain, 0.6) for shot, gain in ((100, -0.5), (300, 0.4), (1000, 0.3))]
    [found] = findings([*unclear, row("3000", 5.0, 0.004)], "finetune")
    assert found.title == "clip_td gains over finetune in 1 of 4 comparisons: −0.5 to +5.0 points"
    [found] = findings([row("100", 0.1, 0.6), row("3000", 5.0, 0.004)], "finetune")
    assert found.title == "clip_td gains over finetune in 1 of 2 comparisons: +0.1 to +5.0 points"
    [found] = findings([row("100", 2.0, 0.004), row("3000", 5.0, 0.004)], "finetune")
    assert found.title == "clip_td gains +2.0 to +5.0 points over finetune"
    [found] = findings([*unclear, row("3000", -5.0, 0.004)], "finetune")
    assert found.title == "clip_td loses against finetune in 1 of 4 comparisons: −5.0 to +0.4 points"


def test_a_data_set_without_test_is_shown_on_its_own_first_set() -> None:
    rows = [row("100", 1.0, 0.5), row("100", 1.0, 0.5) | {"dataset": "other", "evaluation_set": "val"}]
    rows.append(rows[0] | {"evaluation_set": "dev"})
    assert main_rows(rows) == rows[:2]
    other = {"name": "other", "task": "vqa", "evaluation_sets": ["val", "val2"]}
    assert [each.name for each in looked_at(other, rows)] == ["val"]


def test_three_seeds_decide_nothing() -> None:
    [found] = findings([row("100", 4.0, 0.001, "1 2 3")], "finetune")
    assert "a verdict takes 5 seeds." in found.detail
    assert "supported" not in found.detail


def test_one_comparison_is_not_counted_and_a_loss_is_no_gain() -> None:
    [found] = findings([row("100", -4.0, 0.001)], "finetune")
    assert "On test: −4.0 [−5.0, −3.0] on scenes_vqa at 100 training questions; contradicted." in found.detail
    [found] = findings([row("100", -4.0, 0.001), row("300", -2.0, 0.001)], "finetune")
    assert found.title == "clip_td loses against finetune in 2 of 2 comparisons: −4.0 to −2.0 points"
    assert "below 0 in 2" in found.detail
    assert "Smallest loss: −2.0" in found.detail


def test_captions_are_compared_by_their_metric_unless_there_is_an_accuracy() -> None:
    captions = row("100", 4.0, 0.001) | {"metric": "CIDEr", "dataset": "coco CIDEr"}
    [found] = findings([captions], "finetune")
    assert found.title == "clip_td gains +4.0 CIDEr points over finetune"
    [found] = findings([captions, row("100", 2.0, 0.001)], "finetune")
    assert found.title == "clip_td gains +2.0 points over finetune"
