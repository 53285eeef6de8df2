"""How well token selection finds what can be seen, on texts whose visual words are known (``visual_words`` of a data
set's file; docs/papers.md, "Token selection").

Nothing here needs torch, or changes a target.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

import numpy as np

from vlkd_steps.core import files
from vlkd_steps.teachers.targets.relevance import Relevance

KEY = "visual_words"
ERRORS = 2  # standard errors below random choice from which a selection is called worse


@dataclass(frozen=True)
class Measured:
    """What a selection chose of the texts of a split.

    Attributes:
        share: of the chosen words, those that are visual.
        by_chance: the same, expected of as many words of the same texts, chosen at random.
        error: the standard deviation of `share` over such random choices.
        auc: the probability that the relevance of a visual word is above that of another content word of its text
            (equal ones count half), averaged over the texts with both; None where the selection reads no relevance.
        texts: the number of texts with both.
    """

    share: float
    by_chance: float
    error: float
    auc: float | None
    texts: int

    @classmethod
    def recorded(cls, provenance: Path) -> Self | None:
        """What the step noted beside a file of targets; None: nothing, or what another version noted."""
        found, names = files.known_json(provenance).get(KEY), [each.name for each in fields(cls)]
        return cls(*(found[name] for name in names)) if isinstance(found, dict) and {*names} <= {*found} else None

    def note(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """What `recorded` reads, with the settings of the selection."""
        rounded = {name: round(value, 6) for name, value in asdict(self).items() if value is not None}
        return {KEY: {**asdict(self), **rounded, "settings": dict(settings)}}

    def numbers(self) -> dict[str, float]:
        """What runs log."""
        auc = {} if self.auc is None else {"relevance_auc": self.auc}
        return {"visual_words": self.share, "visual_words_by_chance": self.by_chance, **auc}

    def __str__(self) -> str:
        auc = "" if self.auc is None else f", AUC of relevance {self.auc:.3f} over {self.texts:,} texts"
        return f"{self.share:.1%} of them visual ({self.by_chance:.1%} by chance){auc}"

    def warning(self, settings: Mapping[str, Any]) -> str:
        """Why a selection should be changed, and how; empty if it should not.

        A selection is judged if it is by relevance or keyness, and worse if its share is more than `ERRORS` standard
        errors below that of random choice.
        """
        if not self.by_chance:
            return "none of the visual_words of the data set's file occurs in these texts; correct the list"
        judged = settings["selection"] in ("both", "relevance", "keyness")
        if not judged or self.share >= self.by_chance - ERRORS * self.error:
            return ""
        return (
            f"{self.share:.1%} of the chosen words are visual, {100 * (self.by_chance - self.share):.1f} points fewer "
            f"than by random choice ({self.by_chance:.1%}): {described(settings)} prefers words that are not seen; "
            f"{_remedy(settings)} (docs/papers.md, Token selection)"
        )


def described(settings: Mapping[str, Any]) -> str:
    """The settings of a selection: ``selection both, relevance plain, keyness yake``."""
    return ", ".join(f"{key} {settings[key]}" for key in ("selection", "relevance", "keyness") if key in settings)


def _remedy(settings: Mapping[str, Any]) -> str:
    """What to try instead."""
    relevance = settings.get("relevance")
    if relevance is None:
        return "set selection: relevance, relevance: centred"
    if relevance == "plain":
        return "set relevance: centred"
    if settings["selection"] == "both":
        return "set keyness: idf" if settings.get("keyness") == "yake" else "set selection: relevance"
    return "set relevance: regression" if relevance == "centred" else "take another teacher, or selection: random"


class Observed:
    """A relevance that remembers what it said.

    Attributes:
        items: the items that it was asked about, in order.
        values: the relevance of their words, [words] each.
    """

    def __init__(self, relevance: Relevance) -> None:
        self.relevance = relevance
        self.items: list[int] = []
        self.values: list[np.ndarray] = []

    def __call__(self, item: int, words: Sequence[str]) -> np.ndarray:
        found = self.relevance(item, words)
        self.items.append(item)
        self.values.append(found)
        return found


def measure(
    visual: Collection[str],
    words_of: Mapping[str, Sequence[str]],
    texts: Sequence[str],
    chosen: Sequence[Sequence[str]],
    observed: Observed,
) -> Measured | None:
    """How many of the chosen words are visual, and how relevance ranks them; None if no word was chosen.

    Args:
        visual: the visual words, lower-cased.
        words_of: the distinct content words of each text.
        texts, chosen: of N items, the text and the words that were chosen of it.
        observed: the relevance that they were chosen by.
    """
    is_visual = [np.array([word in visual for word in words], bool) for words in words_of.values()]
    row = {text: number for number, text in enumerate(words_of)}
    rows = np.fromiter((row[text] for text in texts), np.int64, len(texts))
    words = np.array([len(each) for each in is_visual], np.int64)[rows]
    seen = np.array([each.sum() for each in is_visual], np.int64)[rows]
    taken = np.fromiter(map(len, chosen), np.int64, len(chosen))
    if not taken.sum():
        return None
    hits = sum(word in visual for each in chosen for word in each)
    rate = seen / np.maximum(words, 1)
    variance = taken * rate * (1 - rate) * (words - taken) / np.maximum(words - 1, 1)  # hypergeometric
    both = (seen > 0) & (seen < words)
    return Measured(
        share=hits / int(taken.sum()),
        by_chance=float((taken * rate).sum() / taken.sum()),
        error=float(np.sqrt(variance.sum()) / taken.sum()),
        auc=_within(observed, rows, is_visual) if both.any() else None,
        texts=int(both.sum()),
    )


def _within(observed: Observed, rows: np.ndarray, is_visual: Sequence[np.ndarray]) -> float | None:
    """The mean over texts of the share of pairs (visual, other word) in which the visual word is more relevant."""
    if not observed.items:
        return None
    lengths = np.fromiter(map(len, observed.values), np.int64, len(observed.values))
    item = np.repeat(np.arange(len(lengths)), lengths)
    relevance = np.concatenate(observed.values)
    visual = np.concatenate([is_visual[row] for row in rows[observed.items].tolist()])
    order = np.lexsort((relevance, item))
    relevance = relevance[order]
    first = np.cumsum(lengths) - lengths
    position = np.arange(len(item)) - np.repeat(first, lengths)
    ties = np.cumsum(np.r_[True, (relevance[1:] != relevance[:-1]) | (item[1:] != item[:-1])]) - 1
    rank = (np.bincount(ties, position) / np.bincount(ties))[ties]  # of equal ones, their mean
    seen = np.bincount(item, visual, len(lengths))
    above = np.bincount(item, rank * visual[order], len(lengths)) - seen * (seen - 1) / 2
    pairs = seen * (lengths - seen)
    return float((above[pairs > 0] / pairs[pairs > 0]).mean())
