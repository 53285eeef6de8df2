import polars as pl
import pytest

from vlkd_steps import tasks
from vlkd_steps.core.errors import UserError
from vlkd_steps.metrics import captioning
from vlkd_steps.tracking.records import REMARKS

INSTANCES = pl.DataFrame(
    {
        "instance_id": [str(i) for i in range(6)],
        "image_id": ["a", "a", "b", "b", "c", "c"],
        "text": [
            *("a red star in the top row", "a small red star"),
            *("two blue circles below a cross", "a gray cross above a blue circle"),
            *("a large yellow diamond", "something yellow in the middle row"),
        ],
        "group": ["near", "near", "out", "out", "near", "near"],
    }
)


@pytest.fixture(autouse=True)
def without_java(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(captioning.shutil, "which", lambda name: None)  # METEOR's tests are test_captioning's


def answers(*captions: str) -> pl.DataFrame:
    return pl.DataFrame({"answer": captions})


def test_items_score_their_images_cider_and_metrics_are_the_corpus() -> None:
    scorer = captioning.Scorer(INSTANCES)
    said = {"a": "a red star in the top row", "b": "a blue circle", "c": "a green cross"}
    scores = scorer.score(answers(*(said[image] for image in INSTANCES["image_id"])))
    assert scores[0] == scores[1] > scores[2] == scores[3] > scores[4] == scores[5]
    metrics = scorer.metrics(scores)
    references = {
        image: [t for i, t in zip(INSTANCES["image_id"], INSTANCES["text"], strict=True) if i == image]
        for image in "abc"
    }
    expected = captioning.score(references, said)
    assert {name: metrics[name] for name in expected.metrics} == expected.metrics
    assert metrics[tasks.load("captioning").compared_by[0].name] == pytest.approx(100 * sum(scores) / 6, abs=0.01)
    assert set(metrics["left_out"]) == {"METEOR", "SPICE"}
    assert "needs Java" in metrics["left_out"]["METEOR"]
    assert {name for name, value in metrics.items() if not isinstance(value, int | float)} == {*REMARKS, "by_group"}


def test_groups_are_scored_on_their_own() -> None:
    scorer = captioning.Scorer(INSTANCES)
    said = ["a red star in the top row"] * 2 + ["a gray cross above a blue circle"] * 2 + ["a blue circle"] * 2
    metrics = scorer.metrics(scorer.score(answers(*said)))
    assert set(metrics["by_group"]) == {"near", "out"}
    alone = captioning.score({"b": INSTANCES["text"][2:4].to_list()}, {"b": said[2]})
    assert metrics["by_group"]["out"] == alone.metrics


def test_mistakes_are_named() -> None:
    scorer = captioning.Scorer(INSTANCES)
    with pytest.raises(UserError, match="image a has two different captions"):
        scorer.score(answers("a star", "a cross", "b", "b", "c", "c"))
    with pytest.raises(UserError, match="instance 0 has no caption"):
        captioning.Scorer(INSTANCES.with_columns(text=pl.lit(" ")))
