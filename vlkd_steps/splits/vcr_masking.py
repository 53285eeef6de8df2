"""AdvTop-1 and KeepTop-k: VCR choices with tokens masked by what a trained model depends on (Ye & Kovashka, 2021).

A scorer, trained apart from every model that is compared, gives for each token of each choice the loss that it
has when that token is masked. AdvTop-1 masks the token whose loss is highest, KeepTop-k all but the k highest. A
reference to several objects counts as that many tokens.

The scorer is our own (`vcr_scorer`) or anyone's: scores are read from JSON lines in the form of the authors'
``shortcut_scores.jsonl``: `annot_id`, and for `answer` and `rationale` the lists ``*_tokens`` and ``*_losses``, one
list per choice.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vlkd_steps.core import records
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.numbers import finite

MASK = "[MASK]"
MASKED = 10_000
"""Added to a masked reference by the authors' files. Their models knew it; other readers take it for an object that
does not exist, so what is written here says `MASK` instead."""

KEEP = {"adv_top_1": 0, "keep_top_1": 1, "keep_top_3": 3, "keep_top_5": 5}
"""How many tokens of a choice stay, by rule; 0: all but the one that matters most."""

CHOICES = 4


Losses = dict[str, list[list[float]]]
"""For ``answer`` and ``rationale`` the losses of each choice's tokens when they are masked."""


class Masking:
    """A rule made from a scores file: an official record to one with masked choices."""

    def __init__(self, rule: str, scores: Path, losses: Mapping[str, Losses] | None = None) -> None:
        """Read the scores or, with `losses` by annotation, take those; then `scores` only names them in messages.

        Raises:
            UserError: an unknown rule, or a file that is not as described above, with file, line and field.
        """
        if rule not in KEEP:
            raise UserError(f"VCR has no masking rule {rule!r}; there are {', '.join(KEEP)}")
        self.keep = KEEP[rule]
        self.path = scores
        self.losses: Mapping[str, Losses] = read(scores) if losses is None else losses

    def __call__(self, record: dict[str, Any]) -> dict[str, Any]:
        """The record with its choices masked.

        Raises:
            UserError: the record has no scores, or scores for other tokens than it has.
        """
        annot_id = record["annot_id"]
        if annot_id not in self.losses:
            raise UserError(
                f"{self.path} has no scores for {annot_id}; a set in which some items are masked and others are not "
                "measures nothing: score all of them, or leave the others out of the annotations"
            )
        changed = {}
        for kind, losses in self.losses[annot_id].items():
            choices = record[f"{kind}_choices"]
            for number, (choice, of_choice) in enumerate(zip(choices, losses, strict=True)):
                if len(of_choice) != (tokens := _size(choice)):
                    raise UserError(
                        f"{self.path}: {annot_id} has {len(of_choice)} {kind}_losses for choice {number}, which has "
                        f"{tokens} tokens (a reference counts as its objects); score these annotations"
                    )
            changed[f"{kind}_choices"] = [
                masked(choice, self.masks(of_choice)) for choice, of_choice in zip(choices, losses, strict=True)
            ]
        return {**record, **changed}

    def masks(self, losses: Sequence[float]) -> list[bool]:
        """Which tokens of a choice are masked. On ties the first is the highest for AdvTop, the last for KeepTop."""
        if not self.keep:
            highest = int(np.argmax(losses))
            return [number == highest for number in range(len(losses))]
        kept = set(np.argsort(losses, kind="stable")[-self.keep :].tolist())
        return [number not in kept for number in range(len(losses))]


def read(path: Path) -> dict[str, Losses]:
    """The losses of a scores file by annotation.

    Raises:
        UserError: a file that is not as described above, with file, line and field.
    """
    found: dict[str, Losses] = {}
    for number, record in records.lines(path):
        where = f"line {number}"
        annot_id = records.field(record, "annot_id", str, path, where)
        if annot_id in found:
            raise UserError(f"{path}, {where}: annot_id {annot_id} is there twice; keep one of the lines")
        found[annot_id] = {kind: _losses(record, kind, path, where) for kind in ("answer", "rationale")}
    return found


def line(record: Mapping[str, Any], losses: Losses) -> dict[str, Any]:
    """One line of a scores file, in the form of the authors'."""
    line: dict[str, Any] = {"annot_id": record["annot_id"]}
    for kind in ("answer", "rationale"):
        tokens = [list(flat(choice)) for choice in record[f"{kind}_choices"]]
        line |= {f"{kind}_tokens": tokens, f"{kind}_losses": losses[kind]}
    return line


def flat(choice: Sequence[str | list[int]]) -> Iterator[str | int]:
    """Words and objects one by one."""
    for token in choice:
        if isinstance(token, str):
            yield token
        else:
            yield from token


def masked(choice: Sequence[str | list[int]], masks: Sequence[bool]) -> list[str | list[int]]:
    """The choice with `MASK` for masked tokens; the rest of a reference stays, before its masks."""
    result: list[str | list[int]] = []
    taken = iter(masks)
    for token in choice:
        if isinstance(token, str):
            result.append(MASK if next(taken) else token)
            continue
        hidden = [next(taken) for _ in token]
        if kept := [tag for tag, hide in zip(token, hidden, strict=True) if not hide]:
            result.append(kept)
        result += [MASK] * sum(hidden)
    return result


def unmarked(choice: Sequence[str | list[int]]) -> list[str | list[int]]:
    """A choice of the authors' own masked files, whose masked references are `MASKED` and more, written with `MASK`."""
    flat = [token for token in choice if isinstance(token, str) or all(tag < MASKED for tag in token)]
    if len(flat) == len(choice):
        return list(choice)
    masks = [
        hide for token in choice for hide in ([False] if isinstance(token, str) else [tag >= MASKED for tag in token])
    ]
    return masked(choice, masks)


def _size(choice: Sequence[str | list[int]]) -> int:
    return sum(1 if isinstance(token, str) else len(token) for token in choice)


def _losses(record: dict[str, Any], kind: str, path: Path, where: str) -> list[list[float]]:
    name = f"{kind}_losses"
    losses = records.field(record, name, list, path, where)
    if len(losses) != CHOICES or not all(
        isinstance(of_choice, list) and of_choice and all(type(loss) in (int, float) for loss in of_choice)
        for of_choice in losses
    ):
        raise records.complaint(path, f"{where}.{name}", f"must be {CHOICES} lists of numbers, one number per token")
    for number, of_choice in enumerate(losses):
        for place, loss in enumerate(of_choice):
            if not finite(loss):
                place_of = f"{where}.{name}[{number}][{place}]"
                raise records.complaint(path, place_of, f"is {str(loss)[:40]}, not a finite number", "score it again")
    return losses
