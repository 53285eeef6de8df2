"""What is refused of a result list, with its number and the first example."""

import gzip
import json
from pathlib import Path

import pytest

from vlkd_steps.core.errors import UserError
from vlkd_steps.scoring import results


def listed(tmp_path: Path, value: object) -> Path:
    path = tmp_path / "R.json"
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def read(path: Path) -> dict:
    return results.read(path, "question_id", int, "answer")


def test_other_fields_are_ignored_and_gzip_is_read(tmp_path: Path) -> None:
    path = tmp_path / "R.json.gz"
    path.write_bytes(gzip.compress(b'\xef\xbb\xbf [{"question_id": 5, "answer": "", "score": 0.5}]'))
    assert read(path) == {5: ""}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"results": []}, r'must be a list of {"question_id", "answer"}, not an object; see docs/score\.md'),
        ("text", "must be a list of .*, not a single value"),
        ([{"question_id": 1, "answer": "a"}, 7], r"results\[1\]: must be an object, not 7"),
        (
            [{"question_id": "1", "answer": "a"}, {"question_id": 2, "answer": "b"}, {"answer": "c"}],
            r'2 of 3 results are malformed; first: \[0\]\.question_id is "1", not a whole number',
        ),
        ([{"question_id": 1}], r"1 of 1 results are malformed; first: \[0\]\.answer is missing, not a string"),
        ([{"question_id": True, "answer": "a"}], r"first: \[0\]\.question_id is true, not a whole number"),
        (
            [{"question_id": 4, "answer": ["a"] * 99}],
            r'first: \[0\]\.answer is \["a", .*\.\.\., not a string',
        ),
        (
            [{"question_id": n, "answer": "a"} for n in (3, 8, 8, 3, 3)],
            "3 of 5 results repeat an earlier question_id; first: 8; keep one",
        ),
    ],
)
def test_malformed_lists(tmp_path: Path, value: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read(listed(tmp_path, value))


def test_a_list_that_was_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "R.json"
    path.write_text('[{"question_id": 1, "answer": "a"}, {"quest')
    with pytest.raises(UserError, match=r"results\[1\]: is not JSON .*the file seems to be cut off"):
        read(path)


def test_missing_and_surplus_are_counted_and_named(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        results.match(Path("R.json"), [7, 1, 9, 8], {1: "", 2: "", 3: ""}, "questions", Path("A.json"))
    assert str(caught.value) == (
        "R.json: does not fit A.json: 2 of 3 questions have no result; first: 2, and 3 results are for other "
        "questions; first: 7; give results of the same split, one for each"
    )
    results.match(Path("R.json"), [2, 1], [1, 2], "questions", Path("A.json"))
