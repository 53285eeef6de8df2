"""The file of a training split's targets: each item's selected words and weights, as `targets` leaves them.

``targets/<data set>/<teacher>/<shot>/s<seed>/<key>.parquet`` has a row for each item of the split, in its order:
``instance_id``; ``words``, the selected ones, and ``content_words``, how many there were to select from, if words are
selected; a column for each weight, if there are any; ``answers`` and ``probabilities``, arrays of the likeliest
ones, if soft answers are wanted. How the selection does is in the provenance beside it, which no run depends on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl

from vlkd_steps.core import checksums, files, layout, tables
from vlkd_steps.core.errors import UserError
from vlkd_steps.teachers.targets.soft_answers import SoftAnswers
from vlkd_steps.teachers.targets.visual_words import Measured

NOT_WEIGHTS = ("instance_id", "words", "content_words", "answers", "probabilities")


@dataclass(frozen=True)
class Targets:
    """What a method needs of the training split before its first step.

    Attributes:
        words: the selected words of each item, lower-cased; None where none are selected.
        content_words: how many distinct content words each item has, int64 [N].
        weights: of the items by name, float32 [N] with mean 1.
        answers: the teacher's likeliest answers to each item, if they are wanted.
        measured: how the selection does, where the visual words are known.
    """

    words: Sequence[Sequence[str]] | None = None
    content_words: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    weights: Mapping[str, np.ndarray] = field(default_factory=dict)
    answers: SoftAnswers | None = None
    measured: Measured | None = None

    @property
    def chosen_share(self) -> float:
        """The share of the split's content words that is selected."""
        return sum(map(len, self.words or ())) / max(int(self.content_words.sum()), 1)

    def numbers(self) -> dict[str, float]:
        """What runs log of the selection."""
        return {"chosen_words": self.chosen_share, **(self.measured.numbers() if self.measured else {})}


def write(path: Path, listing: Path, ids: Sequence[str], targets: Targets) -> None:
    """Write the file, and then the list of its sha256."""
    columns: dict[str, pl.Series] = {"instance_id": pl.Series(ids, dtype=pl.String)}
    if targets.words is not None:
        columns["words"] = pl.Series(targets.words, dtype=pl.List(pl.String))
        columns["content_words"] = pl.Series(targets.content_words, dtype=pl.Int64)
    columns |= {name: pl.Series(weight, dtype=pl.Float32) for name, weight in targets.weights.items()}
    if targets.answers is not None:
        columns["answers"] = pl.Series(targets.answers.classes)
        columns["probabilities"] = pl.Series(targets.answers.probabilities)
    with files.atomic(path) as temporary:
        pl.DataFrame(columns).write_parquet(temporary, compression="zstd", statistics=False)
    checksums.write(listing, [path])


def read(path: Path, listing: Path, ids: Sequence[str]) -> Targets:
    """The targets of the items with these ids, in this order.

    Raises:
        UserError: the file is missing, was changed after it was made, or is that of another split.
    """
    table = tables.read(checksums.verified(path, listing))
    if table["instance_id"].to_list() != list(ids):
        raise UserError(
            f"{path} has the targets of other instances than the training split; make it again: snakemake -f {path}"
        )
    weights = {name: table[name].to_numpy() for name in table.columns if name not in NOT_WEIGHTS}
    answers = None
    if "answers" in table.columns:
        answers = SoftAnswers(table["answers"].to_numpy(), table["probabilities"].to_numpy())
    if "words" not in table.columns:
        return Targets(weights=weights, answers=answers)
    measured = Measured.recorded(layout.targets_provenance(path))
    return Targets(table["words"].to_list(), table["content_words"].to_numpy(), weights, answers, measured)
