"""A text bias of a chosen strength, planted in or turned round by leaving items out: no text is changed.

A cue is a word that seems to say the label, such as {top: entailment}. Where training agrees with the cue in 80 % and
test in 10 % of the items, a student that reads the cue instead of the image scores below chance.
"""

from collections.abc import Mapping

from vlkd_steps.core.errors import UserError
from vlkd_steps.core.seeds import position
from vlkd_steps.splits.leakage import normalised
from vlkd_steps.splits.statements import Statements

VERSION = 1
"""Of the choice. Raise it when the same items would give another set."""


def chosen(items: Statements, cues: Mapping[str, str], share: float) -> list[bool]:
    """Which items stay, so that the cue is right in `share` of those that hold one.

    Items are left out evenly from every pair of cue and label, by a hash of their ids; those without a cue, or with
    several that disagree, go.

    Args:
        items: the statements.
        cues: label by word (lower case).
        share: how often the cue is right afterwards, in (0, 1).

    Raises:
        UserError: no cue, a share that is none, or items among which the cue is always or never right.
    """
    if not cues or not 0 < share < 1:
        raise UserError(f"a planted bias needs cues (word: label) and a share in (0, 1), not {dict(cues)} and {share}")
    if never := [word for word in cues if normalised(word) != word or " " in word]:
        raise UserError(f"the cue {never[0]!r} is in no text as texts are compared; write one word in lower case")
    cells: dict[tuple[str, str], list[int]] = {}
    for number, (text, label) in enumerate(zip(items.texts, items.labels, strict=True)):
        said = sorted({cues[word] for word in normalised(text).split() if word in cues})
        if len(said) == 1:
            cells.setdefault((said[0], label), []).append(number)
    agreeing = sum(len(numbers) for (said, label), numbers in cells.items() if said == label)
    total = sum(map(len, cells.values()))
    if not 0 < agreeing < total:
        raise UserError(
            f"the cues {', '.join(sorted(cues))} are right in {agreeing} of {total} items that hold one, so no share "
            "of right ones can be chosen; take other cues or more data"
        )
    odds = share / (1 - share) * (total - agreeing) / agreeing  # above 1: wrong ones are left out, below: right ones
    kept = [False] * len(items)
    for (cue, label), numbers in cells.items():
        part = min(1.0, odds) if cue == label else min(1.0, 1 / odds)
        order = sorted(numbers, key=lambda number: (position(items.ids[number], "planted_bias"), items.ids[number]))
        for number in order[: round(part * len(order))]:
            kept[number] = True
    return kept
