"""One colour, marker and line style for each variant, the same in every figure and table.

The colours can be distinguished with every common kind of colour blindness (after Okabe & Ito), and markers and
dashes distinguish the lines in greyscale. Each has a counterpart for dark pages.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Style:
    light: str
    dark: str
    marker: str
    dash: str
    label: str = ""


REFERENCE = Style("#5f6773", "#a3abb8", "o", "--")
KNOWN = {
    "clip_td": Style("#0066b3", "#5cb3f5", "D", "-"),
    "naive_kd": Style("#b94e00", "#f2913d", "s", "-."),
    "mad": Style("#007a5a", "#37c79c", "^", "-"),
    "vlkd": Style("#a8437f", "#e58cc0", "v", "-"),
    "plug_in": Style("#8a6d00", "#e0c341", "P", ":"),
}
OTHERS = [
    Style("#6a51c7", "#aa99f2", "X", "-"),
    Style("#1f728f", "#7cd3ee", "<", ":"),
    Style("#7d4a3c", "#cf9c8c", ">", "-"),
    Style("#4c7a1e", "#9ccf62", "p", "-."),
    Style("#b0303f", "#f08791", "h", "-"),
    Style("#3f4c9a", "#8f9df0", "*", ":"),
]


def styles(variants: Sequence[str], reference: str, labels: Mapping[str, str] | None = None) -> dict[str, Style]:
    """The style of every variant: its method's, if any, else the next free style.

    Free styles are assigned in the order of names, so that the grid's order does not matter.

    Args:
        labels: names of variants in figures, if they differ.
    """
    named = labels or {}
    queue = available([style for name, style in KNOWN.items() if name not in variants])
    found = {
        variant: REFERENCE if variant == reference else KNOWN[variant] if variant in KNOWN else next(queue)
        for variant in sorted(variants)
    }
    return {variant: replace(found[variant], label=named.get(variant, variant)) for variant in variants}


def available(free: Sequence[Style]) -> Iterator[Style]:
    """OTHERS and what is free of KNOWN; from then on each colour again with markers and dashes of other styles."""
    looks = [*OTHERS, *free]
    yield from looks
    every = [*OTHERS, *KNOWN.values()]
    for shift in itertools.count(1):
        for place, style in enumerate(every):
            other = every[(place + shift) % len(every)]
            yield replace(style, marker=other.marker, dash=other.dash)
