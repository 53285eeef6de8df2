"""Data sets, conf/dataset/*.yaml: which files are read how, which split plays which role, what is evaluated.

A reader says by a model here which files an entry of ``files`` names (`FILES`).
"""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from vlkd_steps.config.models.base import (
    Count,
    Inside,
    Model,
    Name,
    Part,
    Sequence,
    Share,
    Task,
    Text,
    problem,
    some,
    unique,
)
from vlkd_steps.core.did_you_mean import nearest

Leaks = Literal["shared_images", "near_duplicate_images"]
Label = Literal["entailment", "neutral", "contradiction"]


class Questions(Model):
    """Reader vqa_v2. Without annotations a set can be read, not evaluated."""

    questions: Inside
    annotations: Inside | None = None
    images: Inside | None = None


class Pairs(Model):
    """Reader snli_ve; with a ``rule`` a shifted set of the same file."""

    pairs: Inside
    images: Inside | None = None
    relabelled: Inside | None = None
    rule: Literal["hypothesis_hard", "hypothesis_easy", "biased", "given"] | None = None
    cues: dict[str, Label] | None = None
    share: Share | None = None


class Annotations(Model):
    """Reader vcr; with a ``rule`` a shifted set of the same file."""

    annotations: Inside
    images: Inside | None = None
    metadata: Inside | None = None
    rule: Literal["singular", "plural", "adv_top_1", "keep_top_1", "keep_top_3", "keep_top_5", "given"] | None = None
    scores: Inside | None = None


class Captions(Model):
    """Reader captions."""

    captions: Inside
    images: Inside | None = None


class Karpathy(Model):
    """Reader karpathy: which parts of the one file."""

    captions: Inside
    parts: Annotated[tuple[Text, ...], Sequence, AfterValidator(some)]
    images: Inside | None = None


class Flickr30k(Model):
    """Reader flickr30k: which image ids of the one file."""

    captions: Inside
    ids: Inside | None = None
    images: Inside | None = None


class Shards(Model):
    """Reader shards."""

    images: Inside | None = None


FILES: dict[str, type[Model]] = {
    "vqa_v2": Questions,
    "snli_ve": Pairs,
    "vcr": Annotations,
    "captions": Captions,
    "karpathy": Karpathy,
    "flickr30k": Flickr30k,
    "shards": Shards,
}
"""Reader -> an entry of its ``files``. A reader of a plugin may name any."""


class Vocabulary(Model):
    """Which answers are classes."""

    minimum: Count
    splits: Annotated[tuple[Name, ...], Sequence, AfterValidator(some)]


class Resplit(Model):
    """All questions become a new training and a new test set."""

    rule: Literal["changing_priors"]
    test_share: Part = 1 / 3


class Role(Model):
    """The split that plays a role; a share is of its images, chosen by hash."""

    split: Name
    share: Part | None = None


class Dataset(Model):
    """One task's data."""

    name: Name
    task: Task
    source: Name
    image_source: Name | None = None
    reader: Name
    files: dict[Name, dict[str, Any]]
    image_name: Text | None = None
    vocabulary: Vocabulary | None = None
    labels: Annotated[tuple[Text, ...], Sequence] | None = None
    group: Text | None = None
    multiple_choice_answer: Literal["majority"] | None = None
    resplit: Resplit | None = None
    shards: Inside | None = None
    tsv: Inside | None = None
    images: Inside | None = None
    roles: dict[Name, Role]
    evaluation_sets: Annotated[tuple[Name, ...], Sequence, AfterValidator(unique)]
    sizes: dict[Name, Count] = Field(default_factory=dict)
    allow_leaks: Annotated[tuple[Leaks, ...], Sequence] = ()

    @property
    def sources(self) -> list[str]:
        """What it is read from: its source, and that of its images if they are shared with other data sets."""
        return list(dict.fromkeys(filter(None, (self.source, self.image_source))))

    @property
    def streamed(self) -> bool:
        """Whether it is a corpus in shards, whose pairs are streamed in training."""
        return bool(self.shards or self.tsv)

    @model_validator(mode="after")
    def _hangs_together(self) -> "Dataset":
        splits = [*self.files, *(("train", "test") if self.resplit else ())]
        for role, conf in self.roles.items():
            if conf.split not in splits:
                near = nearest(conf.split, splits)
                raise problem(f"roles.{role}.split is {conf.split!r}; files has no such split; {near}")
        for name in self.evaluation_sets:
            if name not in self.roles:
                raise problem(f"evaluation_sets names {name!r}, which is no role; {nearest(name, self.roles)}")
        if self.reader == "vqa_v2" and self.vocabulary is None:
            raise problem("vocabulary is missing; write how often an answer occurs to be a class, and in which splits")
        if self.vocabulary:
            for split in self.vocabulary.splits:
                if split not in splits:
                    raise problem(f"vocabulary.splits names {split!r}; {nearest(split, splits)}")
        return self
