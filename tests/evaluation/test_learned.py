import json

import numpy as np
import polars as pl
import pytest
from scipy import stats

from vlkd_steps import tasks
from vlkd_steps.evaluation.learned import LEVEL, commonest_answer, floor, have_learned


def instances(rows: list[dict[str, object]]) -> pl.DataFrame:
    empty = {"text": "", "label": None, "answer_type": "", "group": "", "extra": "{}"}
    numbered = [{"instance_id": f"{n}", "image_id": f"i{n}"} | empty | row for n, row in enumerate(rows)]
    return pl.DataFrame(numbered, schema_overrides={"label": pl.Int64})


def question(answer: str, others: tuple[str, ...] = ()) -> dict[str, object]:
    given = [answer] * (10 - len(others)) + list(others)
    answers = [{"answer_id": n, "answer": each} for n, each in enumerate(given)]
    return {"extra": json.dumps({"multiple_choice_answer": answer, "answers": answers})}


def floors(task: str, rows: pl.DataFrame) -> list[float | None]:
    found = tasks.load(task)
    return floor(found, rows, found.scorer(rows)).to_list()


def test_the_floor_of_classes_is_the_share_of_the_commonest() -> None:
    names = ["contradiction", "entailment", "neutral"]
    rows = instances([{"label": k, "group": names[k]} for k in (2, 0, 2, 1)])
    assert floors("entailment", rows) == [1.0, 0.0, 1.0, 0.0]


def test_the_floor_of_questions_is_soft_and_their_answer_need_not_be_a_class() -> None:
    rows = instances([question("yes"), question("yes"), question("red", ("yes", "yes", "yes", "yes")), question("2")])
    assert floors("vqa", rows) == pytest.approx([1.0, 1.0, 1.0, 0.0])
    answer = commonest_answer(tasks.load("vqa"), rows)
    assert answer is not None
    assert answer.row(0) == ("0", None, "yes")


def test_the_floor_of_choices_is_a_number_for_answers_and_one_for_rationales() -> None:
    """Of one number for both, a seed that knows only which choice is right most often would have learned."""
    pairs = [(3, 1), (3, 1), (3, 0), (0, 3), (1, 3)]
    rows = [
        {"label": label, "answer_type": kind, "extra": json.dumps({"pair_id": pair})}
        for pair, labels in enumerate(pairs)
        for kind, label in zip(("answer", "rationale"), labels, strict=True)
    ]
    assert floors("vcr", instances(rows)) == [1, 1, 1, 1, 1, 0, 0, 0, 0, 0]


def test_of_equally_common_answers_the_first_by_name_and_captions_have_none() -> None:
    answer = commonest_answer(tasks.load("vqa"), instances([question("red"), question("blue")]))
    assert answer is not None
    assert answer["answer"].to_list() == ["blue", "blue"]
    captions = instances([{"text": "a dog"}])
    assert commonest_answer(tasks.load("captioning"), captions) is None
    assert floor(tasks.load("captioning"), captions, None).to_list() == [None]  # type: ignore[arg-type]


def test_the_rule_is_a_one_sided_t_test_over_images() -> None:
    generator = np.random.default_rng(5)
    base = 100 * (generator.random(240) < 1 / 3)
    scores = np.stack([100 * (generator.random(240) < p) for p in (0.33, 0.38, 0.42, 0.46, 0.6, 0.2)])
    each = [f"i{n // 2:03d}" for n in range(240)]  # two items an image
    by_image = (scores - base).reshape(6, 120, 2).mean(2)
    p = stats.ttest_1samp(by_image, 0, axis=1, alternative="greater").pvalue
    assert have_learned(scores, base, each).tolist() == (p < LEVEL).tolist()
    assert set((p < LEVEL).tolist()) == {True, False}


def test_images_weigh_as_many_items_as_they_have() -> None:
    """Ten single items gain 100, 90 items lose 12 or 13: the mean is below 0, and that of images far above."""
    images = [f"i{n:02d}" for n in range(20) for _ in range(1 if n < 10 else 9)]
    scores = np.array([[100.0 if int(i[1:]) < 10 else -12.0 - int(i[1:]) % 2 for i in images]])
    assert have_learned(scores, np.zeros(len(images)), images).tolist() == [False]
    assert have_learned(scores + 50, np.zeros(len(images)), images).tolist() == [True]


def test_a_seed_that_guesses_is_rarely_called_learned_and_one_that_knows_a_little_is() -> None:
    generator = np.random.default_rng(0)
    labels, images = generator.integers(0, 3, 600), [f"i{n:03d}" for n in range(600)]
    base = 100.0 * (labels == np.bincount(labels).argmax())
    guessing = 100.0 * (generator.integers(0, 3, (2000, 600)) == labels)
    assert have_learned(guessing, base, images).mean() < 0.02
    assert have_learned(100.0 * (generator.random((50, 600)) < 0.5), base, images).mean() > 0.9


@pytest.mark.parametrize(("score", "expected"), [(100.0, True), (50.0, False), (0.0, False)])
def test_without_any_spread_the_difference_decides(score: float, expected: bool) -> None:
    assert have_learned(np.full((1, 3), score), np.full(3, 50.0), ["a", "b", "c"]).tolist() == [expected]


def test_one_image_shows_nothing() -> None:
    assert have_learned(np.full((1, 2), 100.0), np.zeros(2), ["a", "a"]) is None
