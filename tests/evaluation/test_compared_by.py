"""A task of several metrics is compared by each of them."""

import polars as pl

from vlkd_steps.evaluation.compared_by import by_metric, metrics_of

SCORES = pl.DataFrame(
    {
        "instance_id": ["v-1:answer", "v-1:rationale", "rule_singular/v-2:rationale", "rule_singular/v-2:answer"],
        "image_id": ["a", "a", "b", "b"],
        "score": [1.0, 0.0, 1.0, 1.0],
    }
)


def test_vcr_has_three_and_both_must_be_right_for_the_third() -> None:
    assert metrics_of("vcr") == ["q_a", "qa_r", "q_ar"]
    found = by_metric("vcr", SCORES)
    assert {name: part["score"].to_list() for name, part in found.items()} == {
        "q_a": [1.0, 1.0],
        "qa_r": [0.0, 1.0],
        "q_ar": [0.0, 1.0],
    }
    assert found["q_ar"]["instance_id"].to_list() == ["v-1:answer", "rule_singular/v-2:answer"]
    assert found["q_ar"]["image_id"].to_list() == ["a", "b"]


def test_other_tasks_have_the_accuracy_of_all_items() -> None:
    assert metrics_of("vqa") == metrics_of("entailment") == ["accuracy"]
    assert by_metric("vqa", SCORES)["accuracy"] is SCORES
