"""What a split shares with the other roles: images, and texts, the same or nearly so.

Shared images end the step unless the data set's conf or params.yaml allows them by name, as VQA-CP's, which shares
images by design. Texts are reported only: questions such as "What color is the cat?" are asked about many images.
"""

import re
from collections.abc import Collection, Iterable, Mapping

import polars as pl

from vlkd_steps.errors import UserError

LONG = 9
"""Words from which on a text with one word replaced is nearly the same (word-set Jaccard >= 0.8)."""

_WORD = re.compile(r"[a-z0-9]+(?:'[a-z]+)?")
_ARTICLES = {"a", "an", "the"}

Leaks = dict[str, dict[str, int]]

STOPPING = ("shared_images", "near_duplicate_images")
"""Leaks that end the step unless they are allowed."""


def normalised(text: str) -> str:
    """Lower case, words only, single spaces: texts that differ in punctuation or case are the same text."""
    return " ".join(_WORD.findall(text.lower()))


class NearTexts:
    """Finds texts whose set of words (articles aside) is that of a given text, or nearly.

    Nearly: one word more or less, or, among at least nine words, one word replaced. Every text is filed
    under its word set and under the set without each of its words, so a look-up costs a few hashes.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        self.whole: set[str] = set()
        self.shortened: set[str] = set()
        self.shortened_long: set[str] = set()
        for text in texts:
            whole, shorter = _keys(text)
            self.whole.add(whole)
            self.shortened.update(shorter)
            if len(shorter) >= LONG:
                self.shortened_long.update(shorter)

    def __contains__(self, text: str) -> bool:
        whole, shorter = _keys(text)
        if whole in self.whole or whole in self.shortened or not self.whole.isdisjoint(shorter):
            return True
        return len(shorter) >= LONG and not self.shortened_long.isdisjoint(shorter)


def _keys(text: str) -> tuple[str, list[str]]:
    words = sorted(set(text.split()) - _ARTICLES)
    shorter = [" ".join(words[:n] + words[n + 1 :]) for n in range(len(words))] if len(words) > 1 else [""] * len(words)
    return " ".join(words), [key for key in shorter if key]


class Role:
    """The images and texts of one role, filed once for any number of splits."""

    def __init__(self, rows: pl.DataFrame, near: Mapping[str, int] | None = None) -> None:
        """`near`: the group of every image that is nearly the same as another one (`near_images`)."""
        self.images = set(rows["image_id"])
        self.groups = {(near or {})[image] for image in self.images if image in (near or {})}
        self.texts = {normalised(text) for text in rows["text"].unique().to_list()}
        self.near = NearTexts(self.texts)


def report(rows: pl.DataFrame, others: dict[str, Role], near: Mapping[str, int] | None = None) -> Leaks:
    """Per other role: how many images, and how many instances of `rows` by their text, it shares.

    Args:
        rows: columns ``image_id, text`` of the split.
        others: the other roles by name.
        near: the group of every image that is nearly the same as another one (`near_images`).

    Returns:
        ``shared_images`` (images), ``near_duplicate_images`` (further images that have a near one in the role),
        ``shared_texts`` (instances whose normalised text stands in the role) and
        ``near_duplicate_texts`` (further instances whose text nearly does), each {role: count}.
    """
    images = set(rows["image_id"])
    counted = rows["text"].value_counts(name="count")
    times: dict[str, int] = {}
    for text, count in counted.iter_rows():
        key = normalised(text)
        times[key] = times.get(key, 0) + count
    group_of = {image: near[image] for image in images if image in near} if near else {}
    leaks: Leaks = {"shared_images": {}, "near_duplicate_images": {}, "shared_texts": {}, "near_duplicate_texts": {}}
    for name in sorted(others):
        other = others[name]
        leaks["shared_images"][name] = len(images & other.images)
        leaks["near_duplicate_images"][name] = sum(
            group in other.groups for image, group in group_of.items() if image not in other.images
        )
        leaks["shared_texts"][name] = sum(count for text, count in times.items() if text in other.texts)
        leaks["near_duplicate_texts"][name] = sum(
            count for text, count in times.items() if text not in other.texts and text in other.near
        )
    return leaks


def refuse(leaks: Leaks, split: str, dataset: str, allowed: Collection[str]) -> None:
    """Stop at images that a split shares with another role.

    Args:
        leaks: as `report` found them.
        split: how the split is called, for the message.
        dataset: the data set's name.
        allowed: the conf's ``allow_leaks``, some of `STOPPING`.

    Raises:
        UserError: the split leaks in a way that is not allowed, or `allowed` names no kind of leak.
    """
    key = f"datasets.{dataset}.allow_leaks"
    if unknown := sorted(set(allowed) - set(STOPPING)):
        raise UserError(f"{key} names {unknown[0]!r}; there are {', '.join(STOPPING)}")
    for kind in STOPPING:
        found = {role: number for role, number in leaks[kind].items() if number}
        if found and kind not in allowed:
            told = ", ".join(f"{number} with role {role}" for role, number in sorted(found.items()))
            raise UserError(
                f"data set {dataset}: {split} leaks, {kind.replace('_', ' ')}: {told}. What is measured on them "
                "flatters whoever remembers; take them out of the data, or allow it by name in params.yaml, overrides: "
                f"{{{key}: [{', '.join([*sorted(allowed), kind])}]}}"
            )
