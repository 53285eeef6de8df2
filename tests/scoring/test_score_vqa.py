"""The official VQA accuracy of whole files.

Every golden value was computed by the official evaluator (GT-Vision-Lab/VQA, vqaEval.py as of a013f00), run outside of
this repository on the same files.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from official_files import annotation, question, write_json

from vlkd_steps.cli import score
from vlkd_steps.core import records

GOLDEN = [  # result, the annotators' answers, official accuracy
    ("two", ["2", "2", "two", *["3"] * 7], 90.0),
    ("none", ["0", "none", "zero", *["no"] * 7], 90.0),
    ("The Dog.", ["dog", "dog", "a dog", *["cat"] * 7], 90.0),
    ("the dog", ["the dog"] * 10, 100.0),
    ("dog", ["the dog"] * 10, 0.0),
    ("The dog", [*["the dog"] * 9, "The dog"], 100.0),
    ("dont walk", ["don't walk", "dont walk", *["stop"] * 8], 60.0),
    ("1,000", ["1000", "1,000", "1 000", "10,00", *["many"] * 6], 90.0),
    ("3.5", ["3.5", "3.5.", "3.5..", "35", *["3"] * 6], 90.0),
    ("5.", ["5", "5.", "5..", "five", *["six"] * 6], 100.0),
    ("red/white", ["red white", "red and white", "red/white", "red / white", "redwhite", "white", *["blue"] * 4], 90.0),
    ("t-shirt", ["t shirt", "tshirt", "t-shirt", "t - shirt", *["shirt"] * 6], 90.0),
    ("yes!", ["yes", "yes!", "yes ! ", "YES", *["no"] * 6], 100.0),
    ("\tyes\n", ["yes\n", " yes", *["yes"] * 8], 100.0),
    ("it's", ["its", "it's", "it s", *["no"] * 7], 30.0),
    ("somebody'd", ["somebodyd", "somebody'd", *["no"] * 8], 60.0),
    ("Im here", ["i'm here", "im here", "Im here", *["there"] * 7], 60.0),
    ("", ["a", "the", "an", "", *["x"] * 6], 100.0),
    ("", [" "] * 10, 100.0),
    ("10:30", ["10:30", "10 30", "1030", *["11"] * 7], 30.0),
    ("." * 36, [*["." * 36] * 4, *["no"] * 6], 100.0),
    ("y'alldve", ["y'all'd've", "yall'd've", "y'alldve", *["no"] * 7], 30.0),
    ("café?", ["cafe", "café", "café ?", "CAFÉ", *["bar"] * 6], 90.0),
    ("(a) (b)", ["b", "(b)", "a b", "ab", *["c"] * 6], 90.0),
]

Score = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def scored(tmp_path: Path) -> Score:
    """Score results against annotations; returns the exit status and what --out holds."""

    def run(annotations: Any, results: Any, *more: str) -> tuple[int, dict[str, Any]]:
        paths = [
            path if isinstance(path, Path) else write_json(tmp_path / name, path)
            for name, path in (("A.json", annotations), ("R.json", results))
        ]
        out = tmp_path / "m.json"
        out.unlink(missing_ok=True)
        arguments = ["--annotations", str(paths[0]), "--results", str(paths[1]), "--out", str(out), *more]
        status = score.main(["vqa", "--per-question", *arguments])
        return status, json.loads(out.read_text()) if out.exists() else {}

    return run


def test_tricky_answers_score_as_the_official_evaluator_scores_them(scored: Score) -> None:
    annotations = [annotation(n, 1, answers) for n, (_, answers, _) in enumerate(GOLDEN)]
    status, found = scored({"annotations": annotations}, [
        {"question_id": n, "answer": result} for n, (result, _, _) in enumerate(GOLDEN)
    ])  # fmt: skip
    assert status == 0
    assert found["per_question"] == {str(n): accuracy for n, (_, _, accuracy) in enumerate(GOLDEN)}
    assert found["overall"] == round(sum(accuracy for *_, accuracy in GOLDEN) / len(GOLDEN), 2)


def made_up_result(number: int, record: dict[str, Any]) -> dict[str, Any]:
    """One of the annotators' answers, written in one of five ways."""
    text = record["answers"][number % 10]["answer"]
    ways = [text, text.upper() + ".", "the " + text, text.replace(" ", "-") + "!", "none"]
    return {"question_id": record["question_id"], "answer": ways[number % 5]}


def test_100_official_annotations(scored: Score, shared_data: Path) -> None:
    path = shared_data / "format_fixtures" / "vqa2_val_annotations_first100.json"
    results = [made_up_result(n, record) for n, record in enumerate(records.array(path, "annotations"))]
    status, found = scored(path, results)
    assert status == 0
    assert found["overall"] == 51.9
    assert found["per_answer_type"] == {"number": 64.71, "other": 53.49, "yes/no": 44.75}
    assert len(found["per_question_type"]) == 38
    assert found["per_question_type"]["what is"] == 58.0
    assert found["per_question_type"]["is there a"] == 16.67


def test_8977_official_annotations_to_the_last_question(scored: Score, shared_data: Path) -> None:
    folder = shared_data / "vqa_v2_text_subset"
    path = folder / "v2_mscoco_train2014_annotations_8977.json.gz"
    asked = folder / "v2_OpenEnded_mscoco_train2014_questions_8977.json.gz"
    results = [made_up_result(n, record) for n, record in enumerate(records.array(path, "annotations"))]
    results.reverse()  # their order is free
    status, found = scored(path, results, "--questions", str(asked))
    assert status == 0
    assert found["overall"] == 49.11
    assert found["per_answer_type"] == {"number": 49.82, "other": 50.97, "yes/no": 46.44}
    assert len(found["per_question_type"]) == 65
    assert found["per_question_type"]["are the"] == 48.71
    each = json.dumps(found["per_question"], sort_keys=True).encode()
    assert hashlib.sha256(each).hexdigest() == "afda730e3593b717be3979240cb357cd7171b390ea39a3ea689d190e85d7b637"


def test_annotations_as_a_plain_list(scored: Score) -> None:
    """VQA-CP's files have no top level."""
    assert scored([annotation(1, 1, ["cat"])], [{"question_id": 1, "answer": "cat"}])[1]["overall"] == 100.0


def test_ids_of_answers_may_be_anything(scored: Score) -> None:
    """They are compared as the official evaluator compares them: 1, 1.0 and true are equal."""
    answers = [{"answer": "cat" if n < 3 else "dog", "answer_id": n} for n in range(10)]
    expected = []
    for same in ([0, 1, 2], [1, 1.0, True], [[1], [1], {}]):
        given = [{**answer, "answer_id": same[n] if n < 3 else n} for n, answer in enumerate(answers)]
        leave_one_out = [[other for other in given if other != one] for one in given]  # as its code says
        hits = [sum(answer["answer"] == "cat" for answer in others) for others in leave_one_out]
        status, found = scored([{**annotation(1, 1, ["cat"]), "answers": given}], [{"question_id": 1, "answer": "cat"}])
        assert status == 0
        expected.append(round(100 * sum(min(1.0, count / 3) for count in hits) / 10, 2))
        assert found["per_question"] == {"1": expected[-1]}
    assert expected == [90.0, 70.0, 83.33]


def broken(**change: Any) -> list[dict[str, Any]]:
    return [annotation(1, 1, ["cat"]), {**annotation(2, 1, ["dog"]), **change}]


@pytest.mark.parametrize(
    ("annotations", "results", "message"),
    [
        (broken(), [1], "R.json: does not fit {A}: 1 of 2 questions have no result; first: 2"),
        (broken(), [1, 2, 9], "R.json: does not fit {A}: 1 results are for other questions; first: 9"),
        (broken(question_id=1), [1], "A.json: 1 questions are annotated a second time; first: 1"),
        (broken(question_id="2"), [1, 2], 'annotations[1].question_id: must be a whole number, not "2"'),
        (broken(question_id=1 << 63), [1, 1 << 63], "annotations[1].question_id: must be a whole number of at most 63"),
        (broken(question_type=None), [1, 2], "annotations[1].question_type: must be a string, not null"),
        (broken(answers=[]), [1, 2], "annotations[1].answers: has 0 answers, the official metric is defined over 10"),
        (
            broken(answers=[{"answer": "cat"}] * 10),
            [1, 2],
            "annotations[1].answers: has equal records without different",
        ),
        (broken(answers=[{"answer": 3}] * 10), [1, 2], "annotations[1].answers[0].answer: must be a string, not 3"),
        (broken(answers=["cat"] * 10), [1, 2], 'annotations[1].answers[0]: must be an object, not "cat"'),
        ([], [], "A.json: annotations: is empty"),
        ({"questions": []}, [], "A.json: annotations: is missing at the top level"),
    ],
)
def test_files_that_do_not_fit_are_refused(
    scored: Score, tmp_path: Path, annotations: Any, results: list[int], message: str, capsys: pytest.CaptureFixture
) -> None:
    status, found = scored(annotations, [{"question_id": n, "answer": "cat"} for n in results])
    assert (status, found) == (2, {})
    assert message.replace("{A}", str(tmp_path / "A.json")) in capsys.readouterr().err


@pytest.mark.parametrize(
    ("questions", "message"),
    [
        ([1, 2, 3], "A.json: does not fit {Q}: 1 of 3 questions have no annotation; first: 3"),
        ([1], "A.json: does not fit {Q}: 1 annotations are for other questions; first: 2"),
        ([1, 2, 2], "Q.json: 1 questions are duplicated; first: 2"),
    ],
)
def test_questions_must_be_those_of_the_annotations(
    scored: Score, tmp_path: Path, questions: list[int], message: str, capsys: pytest.CaptureFixture
) -> None:
    path = write_json(tmp_path / "Q.json", {"questions": [question(n, 1) for n in questions]})
    results = [{"question_id": n, "answer": "cat"} for n in (1, 2)]
    assert scored(broken(), results, "--questions", str(path))[0] == 2
    assert message.replace("{Q}", str(path)) in capsys.readouterr().err
