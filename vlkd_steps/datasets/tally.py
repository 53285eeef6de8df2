"""How many records a reader has read, and which it left out and why: no record vanishes without a count.

A record that is right but not wanted (other ids, no consensus) is *left out*. One whose text or image is not there is
*unusable*: it is skipped where the data set's ``max_skipped`` allows it, a share of the records of a split (default 0,
of corpora in shards 1 %), and an error otherwise. What contradicts the format or itself is an error in any case.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vlkd_steps.core import records
from vlkd_steps.core.errors import UserError

NO_CAPTIONS = "images without captions"
CORRECT = "correct the file, or the split's entry in `files` of the data set's conf"


class Unusable(UserError):
    """A record without its text or image; `reason` in a few words, under which such records are counted."""

    def __init__(self, reason: str, path: Path, where: str, problem: str, advice: str = "") -> None:
        super().__init__(str(records.complaint(path, where, problem, advice)))
        self.reason = reason


@dataclass
class Tally:
    """The records of one split.

    Attributes:
        where: data set and split, for messages.
        most: the share of the records that may be skipped.
        entry: the split's entry in the data set's `files`, for messages.
    """

    where: str = ""
    most: float = 0
    entry: Any = None
    read: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    first: Unusable | None = None

    @classmethod
    def of(cls, dataset: Mapping[str, Any], split: str, most: float = 0) -> "Tally":
        """The tally of a split of a data set's conf; `most` where that has no ``max_skipped``."""
        entry = dataset.get("files", {}).get(split)
        return cls(f"data set {dataset.get('name')}, split {split}", dataset.get("max_skipped", most), entry)

    @contextmanager
    def record(self) -> Iterator[None]:
        """One record, read in this block; if it is `Unusable`, the rest of the block is not run."""
        self.read += 1
        try:
            yield
        except Unusable as error:
            self.skip(error)

    def leave_out(self, reason: str, number: int = 1) -> None:
        """Count records that are right but not wanted."""
        self.read += number
        self.left_out[reason] += number

    def skip(self, error: Unusable) -> None:
        """Count a record that is unusable.

        Raises:
            Unusable: `error`, where none may be skipped.
        """
        if not self.most:
            raise error
        self.skipped[error.reason] += 1
        self.first = self.first or error

    def close(self, kept: int) -> dict[str, Any]:
        """The counts, as JSON.

        Args:
            kept: the number of rows that were made of the records.

        Raises:
            UserError: more records were skipped than may be, or no row is left.
        """
        lost = self.skipped.total()
        if lost > self.most * self.read:
            raise UserError(
                f"{self.where}: {lost} of {self.read} records cannot be used ({reasons(self.skipped)}), more than "
                f"max_skipped: {self.most:g} allows; repair the data, or raise max_skipped in the data set's conf"
                + (f". The first: {self.first}" if self.first else "")
            )
        counts = {"read": self.read, "left_out": dict(self.left_out), "skipped": dict(self.skipped)}
        if not kept:
            read = f"{line(counts)}{f', from {json.dumps(self.entry)}' if self.entry else ''}"
            raise UserError(f"{self.where}: no record can be used, of {read}; {CORRECT}")
        return counts


def sentence(record: dict[str, Any], name: str, path: Path, where: str) -> str:
    """A record's text with single spaces.

    Raises:
        Unusable: it is null or empty.
        UserError: it is missing or no string.
    """
    key = f"{where}.{name}" if where else name
    if name in record and record[name] is None:
        raise Unusable("text is null", path, key, "must be a string, not null")
    text = " ".join(records.field(record, name, str, path, where).split())
    if not text:
        raise Unusable("text is empty", path, key, "is empty")
    return text


def line(counts: Mapping[str, Any]) -> str:
    """What `Tally.close` gives, for the log: ``120 read, 3 skipped (2 text is empty, 1 image is missing)``."""
    parts = [f"{counts['read']} read"]
    for key, words in (("left_out", "left out"), ("skipped", "skipped")):
        if counts[key]:
            parts.append(f"{sum(counts[key].values())} {words} ({reasons(counts[key])})")
    return ", ".join(parts)


def reasons(counted: Mapping[str, int]) -> str:
    return ", ".join(f"{counted[reason]} {reason}" for reason in sorted(counted))
