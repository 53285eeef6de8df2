import polars as pl
import pytest

from vlkd_steps.core.errors import UserError
from vlkd_steps.metrics import accuracy

TABLE = pl.DataFrame(
    {
        "instance_id": ["a", "b", "c", "d"],
        "label": [0, 1, 1, 1],
        "group": ["contradiction", "entailment", "entailment", "entailment"],
    }
)


def test_accuracy_and_its_mean_over_classes() -> None:
    scorer = accuracy.Scorer(TABLE)
    scores = scorer.score(pl.DataFrame({"prediction": [0, 1, 2, 0]}))
    assert scores == [1.0, 1.0, 0.0, 0.0]
    assert scorer.metrics(scores) == {
        "accuracy": 50.0,
        "macro_accuracy": 66.67,  # of 100 and a third, which is rounded only then
        "by_label": {"contradiction": 100.0, "entailment": 33.33},
    }


def test_an_item_without_a_label_is_named() -> None:
    with pytest.raises(UserError, match="instance c has no label"):
        accuracy.Scorer(TABLE.with_columns(label=pl.Series([0, 1, None, 1])))
