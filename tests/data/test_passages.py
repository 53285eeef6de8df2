"""What a student and a teacher read of an instance."""

import json

import polars as pl
import pytest

from vlkd_steps.core.errors import UserError
from vlkd_steps.data import passages

TOLD = json.dumps({"question": ["Why", "is", [0], "here", "?"], "answer": [[0], "waits", "."], "objects": ["person"]})


def frame(**changes: object) -> pl.DataFrame:
    rows = {
        "instance_id": ["val-0:answer", "val-0:rationale"],
        "text": ["Why is person 1 here ?", "Why is person 1 here ? person 1 waits ."],
        "choices": [["a", "b", "c", "d"], ["e", "f", "g", "h"]],
        "answer_type": ["answer", "rationale"],
        "extra": [TOLD, TOLD],
    }
    return pl.DataFrame({**rows, **changes})


def test_a_choice_is_a_segment_and_the_gold_answer_precedes_a_rationale() -> None:
    read, rows = passages.of(frame())
    question = "Why is person 1 here ?"
    assert [read.segments_of(row) for row in rows[0]] == [[question, choice] for choice in "abcd"]
    assert [read.segments_of(row) for row in rows[1]] == [[question, "person 1 waits .", choice] for choice in "efgh"]


def test_passages_and_segments_are_numbered_once_in_the_order_of_their_first_use() -> None:
    read, rows = passages.of(frame(choices=[["b", "a", "b", "a"], ["e", "f", "e", "Why is person 1 here ?"]]))
    assert rows.tolist() == [[0, 1, 0, 1], [2, 3, 2, 4]]
    assert read.segments == ["Why is person 1 here ?", "b", "a", "person 1 waits .", "e", "f"]
    assert read.places.tolist() == [[0, 1, -1], [0, 2, -1], [0, 3, 4], [0, 3, 5], [0, 3, 0]]
    assert read.texts([1, 3]) == ["Why is person 1 here ? a", "Why is person 1 here ? person 1 waits . f"]


def test_the_teacher_reads_every_choice_with_its_query() -> None:
    read = passages.teacher_texts(frame())
    assert read["instance_id"].to_list() == ["val-0:answer"] * 4 + ["val-0:rationale"] * 4
    assert read["text"][1] == "Why is person 1 here ? b"
    assert read["text"][7] == "Why is person 1 here ? person 1 waits . h"


def test_without_choices_nothing_changes() -> None:
    plain = frame(choices=[[], []])
    read, rows = passages.of(plain)
    assert read.texts(rows[:, 0]) == plain["text"].to_list() == read.segments
    assert passages.teacher_texts(plain) is plain


def test_another_number_of_choices_is_named() -> None:
    with pytest.raises(UserError, match="instance val-0:rationale has another number of choices than val-0:answer"):
        passages.of(frame(choices=[["a", "b", "c", "d"], ["e", "f"]]))
