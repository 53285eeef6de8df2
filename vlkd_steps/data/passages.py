"""What a student and a teacher read of an instance: one passage, or one for each of its choices.

A passage is a list of segments with their type ids (as UNITER): the question 0, an answer 2, a rationale 3; 1 is the
image's. The teacher reads the same words as one text. Of an item with choices, the teacher's text is that of the right
one; all of them are extracted, since the teacher's confidence in the right one is relative to the others.
"""

import json

import polars as pl

from vlkd_steps.core.errors import UserError
from vlkd_steps.datasets.vcr import spell

QUESTION, ANSWER, RATIONALE = 0, 2, 3

Passage = tuple[tuple[str, int], ...]


def of(frame: pl.DataFrame) -> list[list[Passage]]:
    """The passages of every instance: one, or as many as it has choices.

    Args:
        frame: columns ``instance_id, text, choices, answer_type, extra`` of the instances table.

    Raises:
        UserError: some instances have another number of choices than others.
    """
    if not has_choices(frame):
        return [[((text, QUESTION),)] for text in frame["text"]]
    numbers = frame["choices"].list.len()
    if numbers.n_unique() > 1:
        odd = frame.filter(numbers != numbers[0])["instance_id"][0]
        raise UserError(
            f"instance {odd} has another number of choices than {frame['instance_id'][0]}; all need as many"
        )
    columns = ("text", "choices", "answer_type", "extra")
    return [_of_choices(*row) for row in frame.select(columns).iter_rows()]


def _of_choices(text: str, choices: list[str], answer_type: str, extra: str) -> list[Passage]:
    if answer_type != "rationale":
        return [((text, QUESTION), (choice, ANSWER)) for choice in choices]
    fields = json.loads(extra)
    question, answer = (spell(fields[part], fields["objects"]) for part in ("question", "answer"))
    return [((question, QUESTION), (answer, ANSWER), (choice, RATIONALE)) for choice in choices]


def has_choices(frame: pl.DataFrame) -> bool:
    return "choices" in frame.columns and bool(frame["choices"].list.len().max())


def text(passage: Passage) -> str:
    """A passage as the teacher reads it."""
    return " ".join(segment for segment, _ in passage)


def teacher_texts(frame: pl.DataFrame) -> pl.DataFrame:
    """The rows of `frame` with their ``text`` as the teacher reads it, one row per choice where there are choices."""
    if not has_choices(frame):
        return frame
    each = [[text(passage) for passage in passages] for passages in of(frame)]
    return frame.with_columns(text=pl.Series(each, dtype=pl.List(pl.String))).explode("text")
