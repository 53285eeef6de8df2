"""The official VQA evaluator's quirks, one by one. Expected values worked out by hand from its code."""

import json
import random

import polars as pl
import pytest

from vlkd_steps.core.errors import UserError
from vlkd_steps.metrics import vqa
from vlkd_steps.metrics.vqa import References, preprocess, process_digit_article, process_punctuation, soft_accuracy


def records(*answers: str) -> list[dict]:
    return [{"answer_id": i + 1, "answer": a, "answer_confidence": "yes"} for i, a in enumerate(answers)]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("red/blue", "red blue"),  # no space anywhere: a mark becomes a space
        ("red / blue", "red  blue"),  # a mark next to a space is deleted ...
        ("red/blue/ green", "redblue green"),  # ... everywhere, also between letters
        ("yes,no ok-ay", "yes no ok ay"),  # each mark is tested on its own
        ("1,000-2", "10002"),  # digit,digit anywhere deletes every mark
        ("1,000 (big)", "1000 big"),
        ("it's: fine", "it's: fine"),  # the apostrophe and the colon are no punctuation
        ("5.", "5"),
        ("3..", "3"),  # both go: no digit follows either of them
        ("3.5", "3.5"),
        (".5", ".5"),
        ("a.b", "ab"),  # the look-behind for a digit is mistyped: only the following character counts
        ("v.2.x", "v.2x"),
        ("." * 40, "." * 8),  # re.UNICODE (32) is passed as count
        ("{x}[y]", " x  y "),
        ("50%", "50%"),
        ("-", " "),
        ("a -b", "a b"),
    ],
)
def test_punctuation(answer: str, expected: str) -> None:
    assert process_punctuation(answer) == expected


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("The Two  cats", "2 cats"),
        ("none", "0"),
        ("TEN", "10"),
        ("eleven", "eleven"),
        ("an apple a day", "apple day"),
        ("a", ""),
        ("dont", "don't"),
        ("couldnt've", "couldn't've"),
        ("couldn'tve", "couldn't've"),
        ("couldntve", "couldntve"),  # only spellings that lack one apostrophe are in the table
        ("yall'd've", "y'all'd've"),
        ("y'alld've", "y'all'd've"),
        ("ow's'at", "'ow's'at"),
        ("Im", "im"),  # the table's capitals are never met
        ("Ive", "ive"),
        ("somebody'd", "somebodyd"),  # the official entry is reversed
        ("its", "its"),
    ],
)
def test_digits_articles_and_contractions(answer: str, expected: str) -> None:
    assert process_digit_article(answer) == expected


def test_preprocess_does_punctuation_first() -> None:
    assert preprocess("the-end") == "end"  # "the" is found only once the hyphen is a space
    assert preprocess("1,000 a") == "1000"


@pytest.mark.parametrize(
    ("matches", "expected"),
    [(0, 0.0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1.0), (9, 1.0)],
)
def test_leave_one_out_over_ten_annotators(matches: int, expected: float) -> None:
    answers = records(*["cat"] * matches, *[f"other{i}" for i in range(10 - matches)])
    assert soft_accuracy("cat", answers) == pytest.approx(expected, abs=1e-12)


def test_unanimous_references_are_not_normalised() -> None:
    agreed = records(*["The cat."] * 10)
    assert soft_accuracy("The cat.", agreed) == 1.0
    assert soft_accuracy("cat", agreed) == 0.0
    assert soft_accuracy("the cat.", agreed) == 0.0  # not even lower-cased
    split = records(*["The cat."] * 9, "dog")
    assert soft_accuracy("cat", split) == 1.0


def test_unanimity_is_tested_on_stripped_references() -> None:
    answers = records(*["Two\n", " Two", "\tTwo"], *["Two"] * 7)
    assert soft_accuracy("Two", answers) == 1.0
    assert soft_accuracy("2", answers) == 0.0  # unanimous, so nothing becomes a digit
    assert soft_accuracy("\n Two\t", answers) == 1.0  # the prediction is stripped too


def test_references_that_differ_only_in_form_are_not_unanimous() -> None:
    answers = records("a cat", *["cat"] * 9)
    assert soft_accuracy("the CAT", answers) == 1.0


def test_equal_records_are_left_out_together() -> None:
    """Three equal records: leaving out one leaves out all, so those three subsets hold no match."""
    same = {"answer_id": 1, "answer": "cat", "answer_confidence": "yes"}
    others = [{"answer_id": i, "answer": "dog", "answer_confidence": "yes"} for i in range(2, 9)]
    assert soft_accuracy("cat", [same, dict(same), dict(same), *others]) == pytest.approx(0.7)
    apart = [{**same, "answer_id": 1}, {**same, "answer_id": 9}, {**same, "answer_id": 10}]
    assert soft_accuracy("cat", [*apart, *others]) == pytest.approx((3 * 2 / 3 + 7) / 10)


def test_records_that_nothing_tells_apart_have_no_accuracy() -> None:
    for same in ({}, {"answer_id": 1}, {"answer_id": []}):
        assert soft_accuracy("cat", [{"answer": "cat", **same}] * 10) == 0.0  # as the official code has it
        assert "answer_id" in vqa.fault([{"answer": "cat", **same}] * 10)
    assert not vqa.fault([{"answer": str(n)} for n in range(10)])
    assert not vqa.fault(records(*["cat"] * 10))
    assert not vqa.fault([{"answer": "cat", "answer_id": n // 2} for n in range(10)])  # the official code's to judge


def test_records_become_equal_by_normalisation() -> None:
    first = {"answer_id": 1, "answer": "a cat"}
    second = {"answer_id": 1, "answer": "cat"}
    others = [{"answer_id": i, "answer": "dog"} for i in range(2, 10)]
    # One group of two: left out, no match remains (2 subsets of 0); otherwise two matches (8 subsets of 2/3).
    assert soft_accuracy("cat", [first, second, *others]) == pytest.approx(8 * 2 / 3 / 10)


def test_a_raw_number_word_matches_its_digit() -> None:
    assert soft_accuracy("none", records("0", "0", "none", "zero", *["1"] * 6)) == 1.0


def test_no_records_are_an_error() -> None:
    with pytest.raises(ValueError, match="without answer records"):
        References.of([])


def instances(*extras: dict) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "instance_id": [f"q{i}" for i in range(len(extras))],
            "group": ["what color", "how many", "how many"][: len(extras)],
            "answer_type": ["other", "number", "number"][: len(extras)],
            "extra": [json.dumps(extra) for extra in extras],
        }
    )


def test_scorer_prints_percentages_by_type() -> None:
    table = instances(
        {"answers": records(*["red"] * 10)},
        {"answers": records(*["two"] * 2, *["3"] * 8)},
        {"answers": records(*["one"] * 10)},
    )
    scorer = vqa.Scorer(table)
    scores = scorer.score(pl.DataFrame({"answer": ["red", "2", "1"]}))
    assert scores == pytest.approx([1.0, 0.6, 0.0])
    assert scorer.metrics(scores) == {
        "accuracy": 53.33,
        "by_answer_type": {"number": 30.0, "other": 100.0},
        "by_question_type": {"how many": 30.0, "what color": 100.0},
    }


def test_scorer_names_the_instance_without_answers() -> None:
    with pytest.raises(UserError, match="instance q1 has no annotator answers"):
        vqa.Scorer(instances({"answers": records("red")}, {"answers": []}))


def test_columns_give_what_single_questions_give() -> None:
    generator = random.Random(3)
    forms = ["two", "2", "Two.", " 2", "the two", "2,000", "no", "No", "isnt", "isn't", "a-b", "a b", "yes\n", ""]
    given = [generator.choices(generator.sample(forms, generator.choice([1, 2, 4])), k=10) for _ in range(500)]
    predicted = [generator.choice([*answers, *forms, "another"]) for answers in given]
    texts = sorted({*predicted, *(answer for answers in given for answer in answers)})
    references = [texts.index(answer) for answers in given for answer in answers]
    found = vqa.soft_accuracies(texts, references, [texts.index(answer) for answer in predicted])
    records = [[{"answer_id": n, "answer": answer} for n, answer in enumerate(answers)] for answers in given]
    expected = [soft_accuracy(answer, each) for answer, each in zip(predicted, records, strict=True)]
    assert found.to_list() == expected
    assert len(set(expected)) > 5
