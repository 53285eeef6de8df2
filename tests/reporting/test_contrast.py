"""The page's colours against what they stand on, by WCAG 2.2: 4.5 : 1 for text, and here for marks and lines too."""

import re
from pathlib import Path

import pytest

from vlkd_steps.reporting import style

PAIRS = [
    *((text, back) for text in ("ink", "soft", "link") for back in ("paper", "card", "shade")),
    *((text, back) for text in ("yes", "no") for back in ("card", f"{text}-back")),
]
LOOKS = [style.REFERENCE, *style.KNOWN.values(), *style.OTHERS]


def luminance(colour: str) -> float:
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first: str, second: str) -> float:
    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_and_marks_can_be_read_in_either_theme(root: Path, theme: str) -> None:
    css = (root / "vlkd_steps/templates/report.css.j2").read_text().split("@media (prefers-color-scheme: dark)")
    colours = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", css[theme == "dark"].partition("* {")[0]))
    found = {pair: contrast(*(colours[name] for name in pair)) for pair in PAIRS}
    for back in ("paper", "card"):
        found |= {(getattr(look, theme), back): contrast(getattr(look, theme), colours[back]) for look in LOOKS}
    assert {pair: round(ratio, 2) for pair, ratio in found.items() if ratio < 4.5} == {}
