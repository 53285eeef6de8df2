"""What a student and a teacher read of an instance: one passage, or one for each of its choices.

A passage is the question, alone or with an answer, or with an answer and a rationale: its segments. The teacher reads
the same words as one text. Of an item with choices, the teacher's text is that of the right one; all of them are
extracted, since the teacher's confidence in the right one is relative to the others.

VCR has 3.4 million passages, so passages are numbers of segments in an array, and texts are joined where they are read.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from vlkd_steps.core.errors import UserError
from vlkd_steps.datasets.vcr import spell

TYPES = (0, 2, 3)
"""Type ids of question, answer and rationale (as UNITER; 1 is the image's)."""
ABSENT = -1
"""In place of a segment's number: the passage has fewer segments."""


@dataclass(frozen=True)
class Passages:
    """P distinct passages of S distinct segments.

    Attributes:
        segments: the S texts.
        places: int64 [P, K]: the number of the segment at each place of a passage, or ABSENT.
    """

    segments: list[str]
    places: np.ndarray

    def __len__(self) -> int:
        return len(self.places)

    def segments_of(self, row: int) -> list[str]:
        """The segments of a passage, in order."""
        return [self.segments[number] for number in self.places[row].tolist() if number != ABSENT]

    def texts(self, rows: Sequence[int] | np.ndarray | None = None) -> list[str]:
        """The passages at `rows` (all, without it) as the teacher reads them."""
        places = self.places if rows is None else self.places[np.asarray(rows, np.int64)]
        segments = pl.Series("segments", self.segments, dtype=pl.String)
        numbers = [pl.Series(str(k), of_place) for k, of_place in enumerate(places.T)]
        read = [segments.gather(each.set(each == ABSENT, None)).alias(each.name) for each in numbers]
        return pl.select(pl.concat_str(read, separator=" ", ignore_nulls=True)).to_series().to_list()


def of(frame: pl.DataFrame) -> tuple[Passages, np.ndarray]:
    """The distinct passages of all instances, and which ones each has: int64 [N, A], A of them, one for each choice.

    Args:
        frame: columns ``instance_id, text, choices, answer_type, extra`` of the instances table.

    Raises:
        UserError: some instances have another number of choices than others.
    """
    if not has_choices(frame):
        return _numbered(frame.select(question="text"), 1)
    numbers = frame["choices"].list.len()
    if numbers.n_unique() > 1:
        odd = frame.filter(numbers != numbers[0])["instance_id"][0]
        raise UserError(
            f"instance {odd} has another number of choices than {frame['instance_id'][0]}; all need as many"
        )
    return _numbered(_of_choices(frame), numbers[0])


def has_choices(frame: pl.DataFrame) -> bool:
    return "choices" in frame.columns and bool(frame["choices"].list.len().max())


def teacher_texts(frame: pl.DataFrame) -> pl.DataFrame:
    """The rows of `frame` with their ``text`` as the teacher reads it, one row per choice where there are choices."""
    if not has_choices(frame):
        return frame
    read, rows = of(frame)
    texts = pl.Series(read.texts(), dtype=pl.String).gather(rows.flatten())
    return frame[np.arange(len(frame)).repeat(rows.shape[1])].with_columns(text=texts)


def _of_choices(frame: pl.DataFrame) -> pl.DataFrame:
    """The segments of every choice, a row each with a column a place: the answers of a question, or the rationales of a
    question whose right answer is given."""
    rationales = frame.select("answer_type", "extra").with_row_index("row").filter(answer_type="rationale")
    given = pl.DataFrame(
        [_spelled(extra) for extra in rationales["extra"]],
        schema={"question": pl.String, "given": pl.String},
        orient="row",
    )
    rows = frame.select("text", "choices").with_row_index("row")
    rows = rows.join(given.with_columns(rationales["row"]), on="row", how="left", maintain_order="left")
    return rows.explode("choices").select(
        question=pl.coalesce("question", "text"),
        answer=pl.coalesce("given", "choices"),
        rationale=pl.when(pl.col("given").is_not_null()).then("choices"),
    )


def _spelled(extra: str) -> tuple[str, str]:
    """A question and its right answer, from an instance's ``extra``."""
    fields = json.loads(extra)
    return spell(fields["question"], fields["objects"]), spell(fields["answer"], fields["objects"])


def _numbered(read: pl.DataFrame, choices: int) -> tuple[Passages, np.ndarray]:
    """`of`, from the segments of every passage in order: distinct ones are numbered in the order of their first use."""
    every = read.select(pl.concat_list(pl.all()).explode()).to_series()  # place by place within a passage
    segments = every.unique(maintain_order=True).drop_nulls().alias("segment")
    number = segments.to_frame().with_row_index("number")
    for place in read.columns:
        here = read.select(segment=place).join(number, on="segment", how="left", maintain_order="left")
        read = read.with_columns(here["number"].cast(pl.Int64).fill_null(ABSENT).alias(place))
    distinct = read.unique(maintain_order=True)
    rows = read.join(distinct.with_row_index("row"), on=read.columns, how="left", maintain_order="left")["row"]
    return Passages(segments.to_list(), distinct.to_numpy()), rows.to_numpy().astype(np.int64).reshape(-1, choices)
