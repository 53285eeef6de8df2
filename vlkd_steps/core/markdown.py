"""Tables in Markdown."""

from collections.abc import Iterable, Sequence


def table(header: Sequence[str], body: Iterable[Sequence[str]], align: str = "---") -> list[str]:
    """Its lines. A bar or a line break within a cell does not end the cell.

    Args:
        align: the marks below the header of all columns but the first.

    Example:
        >>> table(["a", "b"], [["1|2", "3"]])
        ['| a | b |', '| --- | --- |', '| 1&#124;2 | 3 |']
    """
    return [_row(row) for row in (header, ["---", *[align] * (len(header) - 1)], *body)]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(' '.join(cell.replace('|', '&#124;').split()) for cell in cells)} |"
