"""A line of the results: the measurements of one kind of step."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from vlkd_steps.core import markdown


@dataclass(frozen=True)
class Line:
    """A kind of step.

    Attributes:
        items: of a step.
        seconds: of a step; bare: of the same step in a bare PyTorch loop, with its batch already on the device.
        share: of the card's peak (MFU).
        waiting: share of the time in which the loop waits for data.
        memory: peak bytes; largest: items of the largest batch that fits; None: not measured.
    """

    name: str
    items: int
    seconds: float
    share: float
    bare: float | None = None
    waiting: float | None = None
    memory: int | None = None
    largest: int | None = None

    def described(self) -> dict[str, Any]:
        """The line with its rate, for JSON."""
        return asdict(self) | {"items_per_second": self.items / self.seconds}


HEADER = ("what", "batch", "items/s", "ms a step", "of the peak", "waiting", "x bare", "memory", "largest batch")


def table(lines: Sequence[Line]) -> str:
    """Markdown."""
    return "\n".join(markdown.table(HEADER, map(_cells, lines), align="---:"))


def _cells(line: Line) -> tuple[str, ...]:
    return (
        line.name,
        f"{line.items:,}",
        f"{line.items / line.seconds:,.0f}",
        f"{1000 * line.seconds:,.1f}",
        f"{100 * line.share:.1f} %",
        "" if line.waiting is None else f"{100 * line.waiting:.1f} %",
        "" if line.bare is None else f"{line.seconds / line.bare:.3f}",
        "" if line.memory is None else f"{line.memory / 2**30:.1f} GiB",
        "" if line.largest is None else f"{line.largest:,}",
    )
