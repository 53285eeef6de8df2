"""The CSV that VCR's leaderboard takes: a score for each answer, and for each rationale after each answer.

Source: rowanz/r2c, `models/eval_for_leaderboard.py` (**stated**): index `annot_id`, then 20 columns, `answer_0` ...
`answer_3` and `rationale_conditioned_on_a0_0` ... `rationale_conditioned_on_a3_3`.
"""

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vlkd_steps.core import files, records
from vlkd_steps.core.numbers import decimal
from vlkd_steps.datasets.vcr import CHOICES

GROUPS = ["answer", *(f"rationale_conditioned_on_a{answer}" for answer in range(CHOICES))]
INDEX = "annot_id"
COLUMNS = [f"{group}_{choice}" for group in GROUPS for choice in range(CHOICES)]

Scores = NDArray[np.float64]


def write(path: Path, annot_ids: Sequence[str], scores: Scores) -> None:
    """Write a leaderboard file; equal scores are equal bytes.

    Args:
        path: the CSV.
        annot_ids: N ids.
        scores: [N, 5, 4], the answers and then the rationales after each of the four answers; higher is better.

    Raises:
        ValueError: another shape, or a score that is no finite number.
    """
    if scores.shape != (len(annot_ids), len(GROUPS), CHOICES):
        raise ValueError(f"scores are {scores.shape}, not ({len(annot_ids)}, {len(GROUPS)}, {CHOICES})")
    if not np.isfinite(scores).all():
        raise ValueError("a score is not finite")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([INDEX, *COLUMNS])
    rows = scores.reshape(len(annot_ids), -1).tolist()
    writer.writerows([annot_id, *row] for annot_id, row in zip(annot_ids, rows, strict=True))
    files.write_text(path, text.getvalue())


def read(path: Path) -> tuple[list[str], Scores]:
    """Read a leaderboard file; its columns may be in any order.

    Returns:
        N ids in the file's order, and scores [N, 5, 4].

    Raises:
        UserError: a column is missing, unknown or duplicated, an id is duplicated, or a cell is no finite number.
    """
    lines = records.cells(path)
    _, header = next(lines, (1, []))
    places = _places(path, header)
    where: dict[str, int] = {}
    scores: list[list[float]] = []
    for line, row in lines:
        annot_id = row[places[0]]
        if where.setdefault(annot_id, line) != line:
            problem = f"{annot_id} stands already in line {where[annot_id]}"
            raise records.complaint(path, f"line {line}", problem, "keep one row for each")
        values = [decimal(row[at]) for at in places[1:]]
        if any(map(math.isnan, values)):
            _complain(path, line, row, places)
        scores.append(values)
    if not scores:
        raise records.complaint(path, "", "holds no predictions")
    return list(where), np.array(scores).reshape(-1, len(GROUPS), CHOICES)


def _places(path: Path, header: Sequence[str]) -> list[int]:
    """The indices of annot_id and of the 20 columns."""
    wanted = [INDEX, *COLUMNS]
    for problem, names in (
        ("lacks", [name for name in wanted if name not in header]),
        ("has unknown", [name for name in header if name not in wanted]),
        ("repeats", sorted({name for name in header if header.count(name) > 1})),
    ):
        if names:
            shown = f"{names[0]!r}" + (f" and {len(names) - 1} more" if len(names) > 1 else "")
            advice = f"the official columns are {INDEX}, {COLUMNS[0]} to {COLUMNS[-1]}: see docs/score.md"
            raise records.complaint(path, "the header", f"{problem} {shown}", advice)
    return [header.index(name) for name in wanted]


def _complain(path: Path, line: int, row: Sequence[str], places: Sequence[int]) -> None:
    """Report the first cell that is no finite number."""
    for column, at in zip(COLUMNS, places[1:], strict=True):
        if math.isnan(decimal(row[at])):
            raise records.complaint(path, f"line {line}", f"{column} is {row[at][:40]!r}, not a finite number")
