"""What a split shares with the other roles: images, and texts, the same or nearly so.

Shared images end the step unless the data set's conf or params.yaml allows them by name, as VQA-CP's, which shares
images by design. Texts are reported only: questions such as "What color is the cat?" occur with many images.
"""

import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property

import numpy as np
import polars as pl

from vlkd_steps.core.errors import UserError

LONG = 9
"""Words from which on a text with one word replaced is nearly the same (word-set Jaccard >= 0.8)."""

_PATTERN = r"[^\W_]+(?:'[^\W\d_]+)?"
"""Letters and digits of any script, and an apostrophe between letters."""

_WORD = re.compile(_PATTERN)
_ARTICLES = ("a", "an", "the")

Leaks = dict[str, dict[str, int]]

STOPPING = ("shared_images", "near_duplicate_images")
"""Leaks that end the step unless they are allowed."""


def normalised(text: str) -> str:
    """Lower case, words only, single spaces: texts that differ in punctuation or case are the same text."""
    return " ".join(_WORD.findall(text.lower()))


class Texts:
    """Distinct normalised texts, and keys by which those whose words are nearly the same are found.

    A text's key is the sum of its words' 64-bit hashes, articles aside, so it depends on the set of words alone; the
    key of the set without one of its words is that sum less one hash. All of VQA v2 is keyed in seconds that way.
    """

    def __init__(self, texts: Sequence[str] | pl.Series) -> None:
        """`texts` may repeat; `times` says how often each normalised one occurs."""
        words = pl.DataFrame({"text": pl.Series(texts, dtype=pl.String)})["text"].value_counts(name="times")
        words = words.with_columns(words=_words(pl.col("text")))
        distinct = words.group_by(pl.col("words").list.join(" ").alias("text")).agg(
            pl.col("times").sum(), pl.col("words").first()
        )
        self.texts, self.times = distinct["text"], distinct["times"].to_numpy()
        one_each = distinct.select(owner=pl.int_range(pl.len()), word=pl.col("words").list.unique()).explode("word")
        one_each = one_each.filter(pl.col("word").is_not_null() & ~pl.col("word").is_in(_ARTICLES))
        vocabulary = one_each["word"].unique()
        codes = pl.Series([_hash(word) for word in vocabulary], dtype=pl.UInt64)
        owner = one_each["owner"].to_numpy()
        coded = one_each["word"].replace_strict(vocabulary, codes, return_dtype=pl.UInt64).to_numpy()
        self.whole = np.zeros(len(self.texts), np.uint64)
        np.add.at(self.whole, owner, coded)  # wraps round, as it should
        words_of = np.bincount(owner, minlength=len(self.texts))
        several = words_of[owner] > 1
        self.owner = owner[several]
        self.shorter = self.whole[self.owner] - coded[several]
        self.long = words_of[self.owner] >= LONG

    def near(self, others: "Texts") -> np.ndarray:
        """Which texts have words nearly those of one of `others`, bool [N].

        Nearly: the same, one word more or less, or, among at least nine words, one word replaced.
        """
        whole, shorter, shorter_long = others._filed
        found = _among(self.whole, whole) | _among(self.whole, shorter)
        found[self.owner[_among(self.shorter, whole)]] = True
        found[self.owner[self.long][_among(self.shorter[self.long], shorter_long)]] = True
        return found

    @cached_property
    def _filed(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The keys in order, sorted once for any number of look-ups."""
        return np.unique(self.whole), np.unique(self.shorter), np.unique(self.shorter[self.long])


def _words(text: pl.Expr) -> pl.Expr:
    """The words of texts; one without any, such as "?!", is a word itself, else all of these were the same text."""
    words = text.str.to_lowercase().str.extract_all(_PATTERN)
    return pl.when(words.list.len() > 0).then(words).otherwise(pl.concat_list(text))


def _among(keys: np.ndarray, filed: np.ndarray) -> np.ndarray:
    """Which keys are in a sorted array."""
    if not len(filed):
        return np.zeros(len(keys), bool)
    return filed[np.minimum(np.searchsorted(filed, keys), len(filed) - 1)] == keys


def _hash(word: str) -> int:
    return int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "little")


class Role:
    """The images and texts of one role, filed once for any number of splits."""

    def __init__(self, rows: pl.DataFrame, near: Mapping[str, int] | None = None) -> None:
        """`near`: the group of every image that is nearly the same as another one (`near_images`)."""
        self.images = set(rows["image_id"].unique())
        self.groups = {(near or {})[image] for image in self.images if image in (near or {})}
        self.texts = Texts(rows["text"])


def report(rows: pl.DataFrame, others: dict[str, Role], near: Mapping[str, int] | None = None) -> Leaks:
    """Per other role: how many images, and how many instances of `rows` by their text, it shares.

    Args:
        rows: columns ``image_id, text`` of the split.
        others: the other roles by name.
        near: the group of every image that is nearly the same as another one (`near_images`).

    Returns:
        ``shared_images`` (images), ``near_duplicate_images`` (further images that have a near one in the role),
        ``shared_texts`` (instances whose normalised text is in the role) and ``near_duplicate_texts`` (further
        instances whose text nearly does), each {role: count}.
    """
    images = set(rows["image_id"].unique())
    texts = Texts(rows["text"])
    group_of = {image: near[image] for image in images if image in near} if near else {}
    leaks: Leaks = {"shared_images": {}, "near_duplicate_images": {}, "shared_texts": {}, "near_duplicate_texts": {}}
    for name in sorted(others):
        other = others[name]
        same = texts.texts.is_in(other.texts.texts.implode()).to_numpy()
        alike = texts.near(other.texts) & ~same
        leaks["shared_images"][name] = len(images & other.images)
        leaks["near_duplicate_images"][name] = sum(
            group in other.groups for image, group in group_of.items() if image not in other.images
        )
        leaks["shared_texts"][name] = int(texts.times[same].sum())
        leaks["near_duplicate_texts"][name] = int(texts.times[alike].sum())
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
            counts = ", ".join(f"{number} with role {role}" for role, number in sorted(found.items()))
            raise UserError(
                f"data set {dataset}: {split} leaks, {kind.replace('_', ' ')}: {counts}. What is measured on them "
                "flatters whoever remembers; take them out of the data, or allow it by name in params.yaml, overrides: "
                f"{{{key}: [{', '.join([*sorted(allowed), kind])}]}}"
            )
