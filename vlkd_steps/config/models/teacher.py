"""Teachers and extractors of regions, conf/teacher/*.yaml: one model for each kind.

``weights`` and ``files`` are read only and may be anywhere; features go to ``features/<name>``.
"""

from string import Formatter
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, Strict, model_validator

from vlkd_steps.config.models.base import (
    Count,
    Flag,
    FromZero,
    Integer,
    Learned,
    Model,
    Name,
    Number,
    Positive,
    Printable,
    Sequence,
    Share,
    Text,
    Texts,
    Warmup,
    Whole,
    between,
    problem,
    says,
    shared_in_equal_parts,
    some,
    unique,
    value_error,
)
from vlkd_steps.config.models.names import ClipModel, Weights
from vlkd_steps.core import patterns
from vlkd_steps.core.devices import Device, Precision


def _with_slot(value: str) -> str:
    if "{}" not in value or any(field not in (None, "") for _, field, *_ in Formatter().parse(value)):
        raise ValueError("no {} for the text")
    return value


WITH_WEIGHTS = ("local-dir:", "hf-hub:", "hf_hub:")
"""How models begin that open_clip or timm read from a folder with its weights."""

Template = Annotated[
    str, Strict(), Printable, AfterValidator(_with_slot), says('a text with {} in it, such as "a photo of {}"')
]
Dtype = Literal["float16", "float32"]
Transform = Literal["exact", "fast"]


class ClipPretrain(Model):
    """How a CLIP is trained: on the stream of scenes, or on a corpus of captions."""

    stream: Literal["scenes"] | None = None
    single_object_legs: Whole | None = None
    init: Name | None = None
    corpus: Name | None = None
    split: Name | None = None
    seed: Integer
    steps: Count
    batch_size: Count
    learning_rate: Positive
    warmup: Warmup
    weight_decay: FromZero
    checkpoint_every: Count
    evaluate_every: Count
    threads: Count = 1
    processes: Count = 1
    device: Device = "auto"
    dtype: Literal["float16", "float32"]

    @model_validator(mode="after")
    def _one_kind_of_pairs(self) -> "ClipPretrain":
        if (self.stream is None) == (self.corpus is None):
            raise problem("names its pairs by stream: scenes, or by corpus and split; write one of them")
        needed, other = ("single_object_legs", "split") if self.stream else ("split", "single_object_legs")
        if getattr(self, needed) is None:
            raise problem(f"{needed} is missing; write it")
        if getattr(self, other) is not None:
            raise problem(f"{other} belongs to {'corpus' if self.stream else 'stream'}; delete it")
        shared_in_equal_parts(self.batch_size, self.processes)
        return self


OF_IMAGES = {"stem": "COCO_9", "image_id": "9", "folder": "images", "number": 9}


def _of_images(value: str | tuple[str, ...]) -> str | tuple[str, ...]:
    """One or several patterns of `teachers.regions.region_extraction.named`."""
    for pattern in some((value,) if isinstance(value, str) else value):
        try:
            patterns.fill(pattern, OF_IMAGES)
        except ValueError as error:
            raise value_error(f"it is no pattern: {error}") from None
    return value


OfImages = Annotated[Text, AfterValidator(_of_images)]


class Teacher(Learned):
    """What all kinds have. `threads` and `batch_size` change the last bits, `device` alone no byte."""

    splits: Literal["used"] | None = None
    dtype: Dtype = "float32"
    batch_size: Count | None = None
    shard_size: Count | None = None
    """Both: None for what is usual for the kind (`extraction.Maker`)."""
    threads: Count = 1
    workers: Count | None = None
    """Read by `jobs.readers`."""
    device: Device = "auto"
    by_dataset: dict[Name, dict[str, Any]] = Field(default_factory=dict)
    """What differs for a data set; checked as part of the whole, `composition`."""

    def written(self) -> dict[str, Any]:
        """As `Model.written`, where null means the same as a key that is left out."""
        return self.model_dump(mode="json", exclude_unset=True, exclude_none=True, by_alias=True)


class Encoder(Teacher):
    """One that may compute in less than float32; detected boxes would move by pixels."""

    precision: Precision = "auto"

    @model_validator(mode="after")
    def _one_source_of_weights(self) -> "Encoder":
        """A folder's own would be read, or its configuration unchecked."""
        model, weights = str(getattr(self, "model", "")), getattr(self, "weights", None)
        if weights and model.startswith(WITH_WEIGHTS):
            raise problem(f"weights is {weights!r}, and the model {model!r} has weights of its own; write null")
        return self


class Clip(Encoder):
    kind: Literal["clip"]
    model: ClipModel
    weights: Weights | None = None
    template: Template = "{}"
    word_template: Template | None = None
    transform: Transform = "exact"
    patches: Flag = False
    pretrain: ClipPretrain | None = None

    @model_validator(mode="after")
    def _starts_elsewhere(self) -> "Clip":
        if self.pretrain and self.pretrain.init == self.name:
            raise problem(f"pretrain.init is {self.name!r}, the teacher itself; name another")
        return self


class Vision(Encoder):
    kind: Literal["vision"]
    model: Text
    package: Text | None = None
    weights: Weights | None = None
    crop: Literal["whole", "centre"] = "whole"
    transform: Transform = "exact"
    image_size: Count | None = None
    patches: Flag = False


class TextEncoder(Encoder):
    kind: Literal["text"]
    model: Text
    package: Text | None = None
    pooling: Literal["mean", "cls"] = "mean"
    max_tokens: Count | None = None
    template: Template = "{}"


class Boxes(Teacher):
    kind: Literal["regions_boxes"]
    boxes: Literal["metadata", "grid"]
    metadata: OfImages | None = None
    grid: Count = 3
    whole_image: Flag = False
    max_regions: Count = 100
    backbone: Annotated[str, Strict(), Field(pattern="^(pixels|timm:.+)$"), says("pixels, or timm:MODEL")] = "pixels"
    weights: Weights | None = None
    pool: Count | None = None
    layer: Integer = -1
    shorter_side: Count = 600


class Detector(Teacher):
    kind: Literal["regions_detector"]
    model: Text
    weights: Weights | None = None
    classes: Count = 91
    confidence: Share = 0.2
    min_regions: Whole = 10
    max_regions: Count = 100
    overlap: Share = 0.3


Confidence = Annotated[Number, between(-1, 1), says("a number from 0 to 1, or -1 for all regions")]
Keys = Annotated[Text | Texts, says("a name, or a list of names, such as {stem}.npz"), AfterValidator(_of_images)]
FileNames = Annotated[tuple[Text, ...], Sequence, AfterValidator(some), AfterValidator(unique)]


class PartOfFiles(Model):
    """Files of features; what is left out is the whole's."""

    format: Literal["lmdb", "npz", "tsv"] | None = None
    files: FileNames | None = None
    key: Keys | None = None
    confidence: Confidence | None = None
    min_regions: Whole | None = None
    max_regions: Count | None = None


class Files(Teacher):
    kind: Literal["regions_files"]
    format: Literal["lmdb", "npz", "tsv"]
    dim: Count
    confidence: Confidence = 0.2
    min_regions: Whole = 10
    max_regions: Count = 100
    files: FileNames | None = None
    key: Keys | None = None
    parts: Annotated[tuple[PartOfFiles, ...], Sequence, AfterValidator(some)] | None = None


KINDS: dict[str, type[Teacher]] = {
    "clip": Clip,
    "vision": Vision,
    "text": TextEncoder,
    "regions_boxes": Boxes,
    "regions_detector": Detector,
    "regions_files": Files,
}
