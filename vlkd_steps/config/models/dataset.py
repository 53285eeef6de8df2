"""Data sets, conf/dataset/*.yaml: which files are read how, which split plays which role, what is evaluated.

A reader says by a model here which files an entry of ``files`` names (`FILES`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, Strict, model_validator

from vlkd_steps.config.models.base import (
    Count,
    Inside,
    Model,
    Name,
    Names,
    Part,
    Sequence,
    Share,
    Task,
    Text,
    inside,
    problem,
    says,
    some,
    unique,
)
from vlkd_steps.config.models.names import VisualWords
from vlkd_steps.core import patterns, role_shares
from vlkd_steps.core.did_you_mean import nearest

Leaks = Literal["shared_images", "near_duplicate_images"]
Label = Literal["entailment", "neutral", "contradiction"]


class Questions(Model):
    """Reader vqa_v2. Without annotations a set can be read, not evaluated."""

    questions: Inside
    annotations: Inside | None = None
    images: Inside | None = None


Cue = Annotated[
    str,
    Strict(),
    Field(pattern=r"^[a-z0-9]+('[a-z]+)?$"),
    says("one word of a-z and digits in lower case, as texts are compared"),
]


class Pairs(Model):
    """Reader snli_ve; with a ``rule`` a shifted set of the same file."""

    pairs: Inside
    images: Inside | None = None
    relabelled: Inside | None = None
    rule: Literal["hypothesis_hard", "hypothesis_easy", "biased", "given"] | None = None
    cues: Annotated[dict[Cue, Label], AfterValidator(some)] | None = None
    share: Part | None = None

    @model_validator(mode="after")
    def _biased_by_cues(self) -> "Pairs":
        if self.rule == "biased" and self.cues is None:
            raise problem("cues is missing; rule biased needs words with their labels")
        if self.rule != "biased" and (useless := self.model_fields_set & {"cues", "share"}):
            raise problem(f"{min(useless)} is read only with rule: biased; delete it")
        return self


class Annotations(Model):
    """Reader vcr; with a ``rule`` a shifted set of the same file."""

    annotations: Inside
    images: Inside | None = None
    metadata: Inside | None = None
    rule: Literal["singular", "plural", "adv_top_1", "keep_top_1", "keep_top_3", "keep_top_5", "given"] | None = None
    scores: Inside | None = None

    @model_validator(mode="after")
    def _scored_to_mask(self) -> "Annotations":
        if self.scores and not (self.rule or "").endswith(("_1", "_3", "_5")):
            raise problem("scores is read only with a rule adv_top_1 or keep_top_...; delete it")
        return self


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


class Parquet(Model):
    """Readers hf_*: a pattern of files."""

    parquet: Inside
    images: Inside | None = None


@dataclass(frozen=True)
class Reader:
    """What a reader of this package takes of a data set's conf.

    Attributes:
        files: the model of an entry of ``files``.
        task: the one of this package that its rows are for.
        keys: those of the keys that not all readers read.
        fields: what ``image_name`` may name, each with an example; the first of them, or one of them where `any_field`,
            tells images apart.
        columns: what ``columns`` may name.
    """

    files: type[Model]
    task: str
    keys: tuple[str, ...] = ()
    fields: Mapping[str, Any] = field(default_factory=dict)
    any_field: bool = False
    columns: tuple[str, ...] = ()


READERS = {
    "vqa_v2": Reader(
        Questions,
        "vqa",
        ("image_name", "vocabulary", "multiple_choice_answer", "resplit"),
        {"image_id": 9, "folder": "train2014", "coco_split": "train2014"},
    ),
    "snli_ve": Reader(Pairs, "entailment", ("image_name",), {"image_id": "9", "folder": "images"}),
    "vcr": Reader(Annotations, "vcr"),
    "captions": Reader(Captions, "captioning", ("group",)),
    "karpathy": Reader(Karpathy, "captioning"),
    "flickr30k": Reader(Flickr30k, "captioning"),
    "shards": Reader(
        Shards, "captioning", ("image_name", "shards", "tsv", "images"), {"name": "9.jpg", "number": 9}, any_field=True
    ),
    "hf_questions": Reader(
        Parquet,
        "vqa",
        ("vocabulary", "columns"),
        columns=(
            "image",
            "question",
            "answers",
            "question_id",
            "image_id",
            "question_type",
            "answer_type",
            "multiple_choice_answer",
        ),
    ),
    "hf_statements": Reader(
        Parquet,
        "entailment",
        ("labels", "columns"),
        columns=("image", "hypothesis", "label", "pair_id", "image_id"),
    ),
    "hf_choices": Reader(
        Parquet,
        "vcr",
        ("columns",),
        columns=(
            "image",
            "question",
            "answer_choices",
            "answer_label",
            "rationale_choices",
            "rationale_label",
            "annot_id",
            "image_id",
        ),
    ),
    "hf_captions": Reader(Parquet, "captioning", ("columns",), columns=("image", "caption", "image_id")),
}
"""By name. A reader of a plugin may take any."""
FILES = {name: reader.files for name, reader in READERS.items()}
OF_READERS = (
    "image_name",
    "vocabulary",
    "labels",
    "group",
    "multiple_choice_answer",
    "resplit",
    "shards",
    "tsv",
    "images",
    "columns",
)
"""Keys of a data set that only some readers read."""


def check_image_name(pattern: str, reader: Reader) -> None:
    """Refuse a pattern that names no image, all images alike, or one outside the folder."""
    try:
        example = patterns.fill(pattern, reader.fields)
    except ValueError as error:
        like = f"{{{next(iter(reader.fields))}}}.jpg"
        raise problem(f"image_name is {pattern!r}, no pattern: {error}; write one such as {like!r}") from None
    try:
        inside(example)
    except ValueError:
        raise problem(f"image_name is {pattern!r}, a path out of the folder of images; write one without ..") from None
    telling = list(reader.fields) if reader.any_field else list(reader.fields)[:1]
    if not set(patterns.fields(pattern)) & set(telling):
        raise problem(f"image_name is {pattern!r}, the same for all images; write {{{telling[0]}}} in it")


class Vocabulary(Model):
    """Which answers are classes."""

    minimum: Count
    splits: Names


class Resplit(Model):
    """All questions become a new training and a new test set."""

    rule: Literal["changing_priors"]
    test_share: Part = 1 / 3
    exchanged: Share = 0


class Role(Model):
    """The split that plays a role; a share is of its images, chosen by hash."""

    split: Name
    share: Part | None = None


class Sizes(Model):
    """How many items an official set has, where other numbers are read."""

    train: Count | None = None


class Dataset(Model):
    """One task's data."""

    name: Name
    task: Task
    source: Name
    image_source: Name | None = None
    reader: Name
    files: Annotated[dict[Name, dict[str, Any]], AfterValidator(some)]
    image_name: Text | None = None
    vocabulary: Vocabulary | None = None
    labels: Annotated[tuple[Text, ...], Sequence, AfterValidator(some), AfterValidator(unique)] | None = None
    group: Text | None = None
    multiple_choice_answer: Literal["majority"] | None = None
    resplit: Resplit | None = None
    shards: Inside | None = None
    tsv: Inside | None = None
    images: Inside | None = None
    columns: dict[Name, Text | None] | None = None
    max_skipped: Share | None = None
    """How many records of a split may have no text or no image; default: 0, of corpora in shards 0.01."""
    visual_words: VisualWords | None = None
    """Which words name something visible in images; token selection is measured by them (`config.visual_words`)."""
    roles: Annotated[dict[Name, Role], AfterValidator(some)]
    evaluation_sets: Annotated[tuple[Name, ...], Sequence, AfterValidator(unique)]
    sizes: Sizes = Field(default_factory=Sizes)
    allow_leaks: Annotated[tuple[Leaks, ...], Sequence, AfterValidator(unique)] = ()

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
        if fault := role_shares.fault({role: conf.model_dump() for role, conf in self.roles.items()}):
            raise problem(fault)
        for name in self.evaluation_sets:
            if name not in self.roles:
                raise problem(f"evaluation_sets names {name!r}, which is no role; {nearest(name, self.roles)}")
        if "train" in self.evaluation_sets and "shared_images" not in self.allow_leaks:
            raise problem(
                "evaluation_sets names 'train', all of whose images are learned from; delete it there, or write "
                "allow_leaks: [shared_images] if that is meant"
            )
        if self.reader in READERS:
            self._fits(READERS[self.reader])
        if self.vocabulary:
            for split in self.vocabulary.splits:
                if split not in splits:
                    raise problem(f"vocabulary.splits names {split!r}; {nearest(split, splits)}")
        return self

    def _fits(self, reader: Reader) -> None:
        """Refuse another task, and keys that the reader lacks or does not read."""
        tasks = {each.task for each in READERS.values()}
        if self.task in tasks and self.task != reader.task:
            fitting = ", ".join(name for name, each in READERS.items() if each.task == self.task)
            raise problem(
                f"reader is {self.reader!r}, which reads data of task {reader.task}, and task is {self.task!r}; write "
                f"task: {reader.task}, or one of the readers {fitting}"
            )
        if useless := [key for key in OF_READERS if getattr(self, key) is not None and key not in reader.keys]:
            raise problem(f"{useless[0]} is not read by reader {self.reader}; delete it")
        for column in self.columns or ():
            if column not in reader.columns:
                raise problem(f"columns names {column!r}; {nearest(column, reader.columns)}")
        if "vocabulary" in reader.keys and self.vocabulary is None:
            raise problem("vocabulary is missing; write how often an answer occurs to be a class, and in which splits")
        for role in [] if self.resplit else ["train", *self.evaluation_sets]:
            split = self.roles[role].split if role in self.roles else None
            if split in self.files and reader.files is Questions and not self.files[split].get("annotations"):
                raise problem(f"files.{split}.annotations is missing; {role} is {split}, which has to have answers")
        if "shards" in reader.keys and (self.shards is None) == (self.tsv is None):
            raise problem("reader shards reads shards or tsv; write one of them")
        if self.image_name is not None:
            check_image_name(self.image_name, reader)
        elif self.reader in ("vqa_v2", "snli_ve") and any(paths.get("images") for paths in self.files.values()):
            raise problem("image_name is missing; write how an image's file is named, such as '{image_id}.jpg'")
